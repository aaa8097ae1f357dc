"""Who may speak to us: sources with write keys, clients with secrets, scopes and purposes."""
