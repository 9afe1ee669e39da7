"""Models with tokenizers from elsewhere: of SentencePiece's form in two spellings, and one that loses text."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from training.errors import EvaluationError
from training.evaluation.answering import INSIDE
from training.evaluation.transformers_model import TransformersModel

PROMPT = 'def twice(number):\n    """Twice a number."""\n'
ANSWER = "    return number * 2  # 变 🙂\n"
SPECIAL = ["<unk>", "<s>", "</s>", "<|end|>"]
BYTES = [f"<0x{number:02X}>" for number in range(256)]
MERGES = [("▁", "▁"), ("▁▁", "▁▁"), ("n", "u"), ("nu", "m"), ("▁▁▁▁", "re")]
KINDS = ["normalizer", "metaspace"]
REFUSED = "cannot be loaded as a model"


def tokenizer_of(kind: str) -> Tokenizer:
    """Blanks are ▁, one is put before the text, and what no token has is written in bytes, as Llama 2 does."""
    signs = sorted({*PROMPT, *ANSWER[:22], "▁"} - {" ", "\n"})
    words = [*SPECIAL, *BYTES, *signs, *(one + two for one, two in MERGES[:4])]
    raw = Tokenizer(
        models.BPE({word: number for number, word in enumerate(words)}, MERGES[:4], unk_token="<unk>", byte_fallback=True)
    )
    if kind == "normalizer":
        raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        found = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    else:
        raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        found = [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first", split=False), decoders.Fuse()]
    raw.decoder = decoders.Sequence(found)
    raw.add_special_tokens(SPECIAL)
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return raw


def llama(raw: Tokenizer) -> LlamaForCausalLM:
    torch.manual_seed(1)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=raw.get_vocab_size(),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=128,
        )
    )


def save(model: LlamaForCausalLM, raw: Tokenizer, folder: Path) -> None:
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>").save_pretrained(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_keeps_its_blanks_and_ends_at_any_end_of_the_folder(kind: str, tmp_path: Path) -> None:
    raw = tokenizer_of(kind)
    model = llama(raw)
    prompt, whole = raw.encode(PROMPT).ids, raw.encode(PROMPT + ANSWER).ids
    assert whole[: len(prompt)] == prompt
    assert raw.decode(whole[len(prompt) :]) != ANSWER  # alone, its blanks are lost
    ids = torch.tensor([[*whole, 3, *whole]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(300):
        loss = model(input_ids=ids[:, : len(whole) + 20], labels=ids[:, : len(whole) + 20]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if float(loss) < 1e-3:
            break
    model.generation_config.eos_token_id = [2, 3]
    model.generation_config.repetition_penalty = 5.0  # which is not what the model finds most likely
    save(model, raw, tmp_path)
    written = TransformersModel(tmp_path).write(PROMPT, INSIDE, 60)
    assert (written.text, written.end) == (ANSWER, "ended")
    assert TransformersModel(tmp_path).write(PROMPT, INSIDE, 3).text == "    re"


@pytest.mark.parametrize("kind", KINDS)
def test_bits_are_of_the_bytes_of_the_solution(kind: str, tmp_path: Path) -> None:
    raw = tokenizer_of(kind)
    model = llama(raw)
    torch.nn.init.zeros_(model.lm_head.weight)
    save(model, raw, tmp_path)
    found = TransformersModel(tmp_path).score(PROMPT, ANSWER)
    assert found is not None
    count = len(raw.encode(PROMPT + ANSWER).ids) - len(raw.encode(PROMPT).ids)
    assert found.nats == pytest.approx(count * math.log(raw.get_vocab_size()))
    assert found.text_bytes == len(ANSWER.encode())
    whole = TransformersModel(tmp_path).score("", ANSWER.lstrip())
    assert whole is not None
    assert whole.text_bytes == len(ANSWER.lstrip().encode())  # without the blank that is put before it


def test_there_is_no_figure_where_the_tokens_do_not_give_the_text_back(tmp_path: Path) -> None:
    raw = tokenizer_of("metaspace")
    raw.normalizer = normalizers.Lowercase()
    save(llama(raw), raw, tmp_path)
    model = TransformersModel(tmp_path)
    assert model.score(PROMPT, ANSWER) is None
    assert model.score(PROMPT.lower(), ANSWER) is not None
    assert model.score(PROMPT.lower(), ANSWER + "</s>") is None  # one token, which has no text


def test_a_model_without_a_context_is_refused(tmp_path: Path) -> None:
    raw = tokenizer_of("metaspace")
    save(llama(raw), raw, tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"max_position_embeddings": 128', '"max_position_embeddings": null'))
    with pytest.raises(EvaluationError, match="cannot be loaded as a model.*and max_position_embeddings"):
        TransformersModel(tmp_path)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("model.safetensors", b"", REFUSED),
        ("config.json", {"num_hidden_layers": 3}, "its safetensors lack model.layers.2"),
        ("config.json", {"num_attention_heads": 0}, REFUSED),
        ("generation_config.json", {"eos_token_id": "end"}, REFUSED),
        (
            "config.json",
            {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "own.Own"}},
            REFUSED,
        ),
        ("tokenizer_config.json", {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}, REFUSED),
    ],
)
def test_a_damaged_folder_is_refused_and_its_code_never_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: Any, said: str
) -> None:
    raw = tokenizer_of("normalizer")
    save(llama(raw), raw, tmp_path)
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else json.dumps({**json.loads(path.read_bytes()), **data}).encode())
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # to whoever asks whether the folder's code may run
    with pytest.raises(EvaluationError, match=said):
        TransformersModel(tmp_path)
    assert not (tmp_path / "ran").exists()
