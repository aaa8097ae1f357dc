"""Accountability (GDPR art. 5(2)): simulations, the record of processing, bundles for auditors."""
