{
    "name": "Core's tests after installation",
    "version": "19.0.1.0.0",
    "author": "Auth Integration Contributors",
    "license": "LGPL-3",
    "depends": ["base"],
}
