"""Maps the top-level folders to `attnlab.*`; everything else about the package is in pyproject.toml."""

from setuptools import find_namespace_packages, setup

FOLDERS = ("bench", "impls", "kernels")
EXCLUDE = ("__pycache__", "*.__pycache__", "*.__pycache__.*")

setup(
    packages=[
        package
        for folder in FOLDERS
        for package in (
            f"attnlab.{folder}",
            *(f"attnlab.{folder}.{name}" for name in find_namespace_packages(folder, exclude=EXCLUDE)),
        )
    ],
    package_dir={f"attnlab.{folder}": folder for folder in FOLDERS},
)
