"""The lab in other packages: a module for each, which imports that package and is imported by nobody else.

lightning      a callback for Lightning's Trainer, by which the doctor watches its optimizers
transformers   the same for the Trainer of Hugging Face Transformers
tensorboard    what the doctor measures, and whole sweeps and comparisons, as TensorBoard runs
mlflow         the same as runs of MLflow
"""


def needs(module: str, package: str, *also: str) -> ImportError:
    """The error of an integration whose package is missing: which one, and what installs it.

    >>> needs("transformers", "transformers", "accelerate")
    ImportError('stepwell.integrations.transformers needs transformers: pip install transformers accelerate')
    """
    return ImportError(f"stepwell.integrations.{module} needs {package}: pip install {' '.join((package, *also))}")
