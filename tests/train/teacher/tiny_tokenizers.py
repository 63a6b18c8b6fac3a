"""Small tokenizers of the kinds that teachers bring, trained on three sentences."""

import json
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

WORDS = ["a photo of a kitchen", "the living room", "a bathroom with tiles"]
SIGLIP = {"tokenizer_class": "T5Tokenizer", "pad_token": "</s>", "eos_token": {"content": "</s>"}}


def write_siglip(directory: Path, settings: dict | None = SIGLIP) -> Tokenizer:
    """Pieces, an end token that pads as well; <pad> is in the vocabulary, but nobody's."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=special, unk_token="<unk>", show_progress=False)
    made.train_from_iterator(WORDS, trainer)
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    content = json.loads(made.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != "<pad>"]
    (directory / "tokenizer.json").write_text(json.dumps(content))
    if settings is not None:
        (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return Tokenizer.from_file(str(directory / "tokenizer.json"))


def write_bert(directory: Path) -> Tokenizer:
    """As bert-base-uncased, whose tokenizer_config.json names no special token."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=90, special_tokens=special, show_progress=False)
    made.train_from_iterator(WORDS, trainer)
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    made.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    return made
