"""Events that wait for their visitor's answer: sealed, for a stated time, readable by nobody."""
