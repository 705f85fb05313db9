"""The audit of a language model by its name, on a tiny one that is made on the spot."""

import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, OPTConfig, OPTForCausalLM, PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import wild

TEXT = " ".join(["to be or not to be that is the question"] * 40)


@pytest.fixture
def folder(tmp_path):
    """A model of OPT's kind, saved with its tokeniser: unit 3 of its first layer is dead."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: i for i, word in enumerate(["<pad>", *sorted(set(TEXT.split()))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>").save_pretrained(tmp_path)
    torch.manual_seed(0)
    model = OPTForCausalLM(
        OPTConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=2,
            ffn_dim=24,
            num_attention_heads=2,
            max_position_embeddings=64,
            word_embed_proj_dim=16,
        )
    )
    with torch.no_grad():
        model.model.decoder.layers[0].fc1.bias[3] = -1000.0
    model.save_pretrained(tmp_path)
    return tmp_path


def test_a_model_is_loaded_by_its_name_and_its_dead_are_named(folder):
    assert AutoTokenizer.from_pretrained(folder)("to be")["input_ids"]
    report = wild.hugging_face(str(folder), TEXT, length=32)
    assert [site.units for site in report.sites.values()] == [24, 24]
    (first, second) = report.sites
    assert 3 in report.dead()[first]
    assert 3 not in report.dead().get(second, [])
    lines = wild.by_layer(report).splitlines()
    assert len(lines) == 3
    assert float(lines[1].split()[-1].strip("%")) >= 100 / 24 - 0.1


def test_its_text_is_the_books_own(folder):
    report = wild.hugging_face(str(folder), length=64, rows=30)
    (site, *_) = report.sites.values()
    assert site.recent.n == 30 * 64
