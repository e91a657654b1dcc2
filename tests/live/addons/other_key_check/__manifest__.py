{
    "name": "Other key check",
    "summary": "For tests: another module with its own opinion on API keys, loaded before ours",
    "author": "Auth Integration Contributors",
    "license": "LGPL-3",
    "depends": ["base"],
}
