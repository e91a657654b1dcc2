{
    "name": "Later key check",
    "summary": "For tests: checks keys after ours, and has newer methods of core",
    "author": "Auth Integration Contributors",
    "license": "LGPL-3",
    "depends": ["auth_integration"],
}
