{
    "name": "Newer Builds' Verification of API Keys",
    "author": "Auth Integration Contributors",
    "license": "LGPL-3",
    "depends": ["base"],
}
