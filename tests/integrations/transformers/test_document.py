"""What the documentation shows of Hugging Face's Trainer."""
# pyright: reportMissingImports=false

from transformers import TrainingArguments

from tests.integrations import documented
from tests.integrations.transformers.test_doctor import classifier, sentences


def test_the_documents_lines(tmp_path, one_thread):
    args = TrainingArguments(
        str(tmp_path), max_steps=5, report_to="none", use_cpu=True, disable_tqdm=True, save_strategy="no"
    )
    documented.run("transformers", tmp_path, model=classifier(), args=args, data=sentences(64))
