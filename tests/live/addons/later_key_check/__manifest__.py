{
    "name": "Later key check",
    "summary": "For tests: a module with its own opinion on API keys, loaded after ours; newer methods of core",
    "author": "Auth Integration Contributors",
    "license": "LGPL-3",
    "depends": ["auth_integration"],
}
