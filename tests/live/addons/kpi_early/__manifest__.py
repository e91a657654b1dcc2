{
    "name": "Keys Verified with a Cursor, Loaded Early",
    "author": "Auth Integration Contributors",
    "license": "LGPL-3",
    "depends": ["newer_core"],
}
