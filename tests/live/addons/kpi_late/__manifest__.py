{
    "name": "Keys Verified with a Cursor, Loaded Late",
    "author": "Auth Integration Contributors",
    "license": "LGPL-3",
    "depends": ["newer_core", "auth_integration"],
}
