{
    "name": "Faults on demand",
    "license": "LGPL-3",
    "author": "Auth Integration Contributors",
    "depends": ["auth_integration"],
}
