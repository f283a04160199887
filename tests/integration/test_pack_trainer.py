"""Packing inside what people use: transformers.Trainer, a plain loop over a DataLoader, TRL's SFTTrainer where installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as hf
from torch.utils.data import DataLoader, DistributedSampler, SequentialSampler

from codeact.lm.attention import register
from codeact.lm.isolation import check_isolation
from codeact.packing import DynamicPackCollator, PackedDataset

PAD, VOCAB = 0, 97


def tiny_llama(attention: str) -> hf.PreTrainedModel:
    torch.manual_seed(0)
    config = hf.LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
        max_position_embeddings=96, pad_token_id=PAD, bos_token_id=None, eos_token_id=None, initializer_range=0.2,
    )  # fmt: skip
    return hf.LlamaForCausalLM._from_config(config, attn_implementation=attention)


def make_samples(count: int, seed: int = 0) -> list[dict[str, list[int]]]:
    rng = np.random.default_rng(seed)
    samples = []
    for size in rng.integers(4, 30, count).tolist():
        ids = rng.integers(1, VOCAB, size).tolist()
        samples.append({"input_ids": ids, "labels": [-100] * (size // 3) + ids[size // 3 :]})
    return samples


def pad_collate(samples: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    width = max(len(sample["input_ids"]) for sample in samples)

    def lines(key: str, fill: int) -> torch.Tensor:
        return torch.tensor([sample[key] + [fill] * (width - len(sample[key])) for sample in samples])

    mask = torch.tensor([[1] * len(s["input_ids"]) + [0] * (width - len(s["input_ids"])) for s in samples])
    return {"input_ids": lines("input_ids", PAD), "labels": lines("labels", -100), "attention_mask": mask}


class InOrder(hf.Trainer):
    """Keeps the order of the data, so that two trainers see the same steps."""

    def _get_train_sampler(self, train_dataset=None):
        return SequentialSampler(self.train_dataset if train_dataset is None else train_dataset)


def train(model, data, collator, folder, *, batch_size, accumulation=1, trainer=InOrder, **options):
    arguments = hf.TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=batch_size, gradient_accumulation_steps=accumulation, num_train_epochs=1,
        learning_rate=0.05, optim="sgd", lr_scheduler_type="constant", logging_steps=1, save_strategy="no", report_to=[], use_cpu=True,
        disable_tqdm=True, max_grad_norm=1e9, **options,
    )  # fmt: skip
    run = trainer(model=model, args=arguments, train_dataset=data, data_collator=collator)
    run.train()
    return run


def losses(run) -> list[float]:
    return [entry["loss"] for entry in run.state.log_history if "loss" in entry]


def parameters(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.fixture(scope="module")
def samples():
    return make_samples(24)


def test_trainer_takes_the_same_steps_packed_and_padded(samples, tmp_path):
    packed = train(
        tiny_llama(register()),
        samples,
        DynamicPackCollator(capacity=48, pad_token_id=PAD),
        tmp_path,
        batch_size=4,
        accumulation=2,
    )
    padded = train(tiny_llama("sdpa"), samples, pad_collate, tmp_path, batch_size=4, accumulation=2)
    assert packed.state.global_step == padded.state.global_step == 3
    np.testing.assert_allclose(losses(packed), losses(padded), rtol=1e-4)
    one, two = parameters(packed.model), parameters(padded.model)
    assert float((one - parameters(tiny_llama("sdpa"))).norm()) > 0.01
    assert float((one - two).norm() / two.norm()) <= 1e-5


def test_trainer_counts_the_learnt_tokens_of_a_packed_batch(samples, tmp_path):
    collator = DynamicPackCollator(capacity=48, pad_token_id=PAD)
    run = train(tiny_llama(register()), samples[:8], collator, tmp_path, batch_size=8)
    batch = collator(samples[:8])
    learnt = sum(label != -100 for sample in samples[:8] for label in sample["labels"][1:])
    assert int(run._get_num_items_in_batch([batch], torch.device("cpu"))) == learnt
    model = tiny_llama("sdpa")
    token_mean = float(model(**pad_collate(samples[:8])).loss.detach())
    assert losses(run)[0] == pytest.approx(token_mean, rel=1e-4)


def test_trainer_on_a_packed_epoch(samples, tmp_path):
    data = PackedDataset(samples, 48, pad_token_id=PAD, rows_multiple_of=2)
    before = tiny_llama(register())
    run = train(
        tiny_llama(register()), data, data.collate, tmp_path, batch_size=2, trainer=hf.Trainer, eval_strategy="no"
    )
    assert run.state.global_step == len(data) // 2
    with torch.no_grad():
        ids = torch.tensor([samples[0]["input_ids"]])
        assert not torch.allclose(run.model(input_ids=ids).logits, before(input_ids=ids).logits)


def test_trainer_evaluates_packed_batches(samples, tmp_path):
    collator = DynamicPackCollator(capacity=48, pad_token_id=PAD)
    model = tiny_llama(register())
    arguments = hf.TrainingArguments(
        output_dir=str(tmp_path),
        per_device_eval_batch_size=24,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        prediction_loss_only=True,
    )
    run = hf.Trainer(model=model, args=arguments, eval_dataset=samples, data_collator=collator)
    expected = float(tiny_llama("sdpa")(**pad_collate(samples)).loss.detach())
    assert run.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_plain_loop_over_a_packed_epoch(samples):
    model = tiny_llama(register())
    model.config.use_cache = False
    check_isolation(model)
    data = PackedDataset(samples, 48, pad_token_id=PAD)
    learnt, total = 0, 0.0
    for batch in DataLoader(data, batch_size=2, shuffle=True, collate_fn=data.collate):
        count = int((batch["labels"] != -100).sum())
        total += float(model(**batch).loss.detach()) * count
        learnt += count
    assert learnt == sum(label != -100 for sample in samples for label in sample["labels"][1:])
    assert total / learnt == pytest.approx(float(tiny_llama("sdpa")(**pad_collate(samples)).loss.detach()), rel=1e-5)


@pytest.mark.parametrize("packed_ahead", [False, True], ids=["collator", "packed data set"])
def test_trl_sft_trainer_takes_packed_batches(samples, tiny_model_dir, tmp_path, packed_ahead):
    trl = pytest.importorskip("trl", reason="TRL is not installed")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    model = hf.AutoModelForCausalLM.from_pretrained(tiny_model_dir, attn_implementation=register())
    reference = hf.AutoModelForCausalLM.from_pretrained(tiny_model_dir, attn_implementation="sdpa")
    tokenizer = hf.AutoTokenizer.from_pretrained(tiny_model_dir)
    data = PackedDataset(samples[:8], 48, tokenizer)
    items, collate = (list(data), data.collate) if packed_ahead else (samples[:8], DynamicPackCollator(tokenizer, 48))
    arguments = trl.SFTConfig(
        output_dir=str(tmp_path), per_device_train_batch_size=8, num_train_epochs=1, learning_rate=0.05, optim="sgd", logging_steps=1,
        lr_scheduler_type="constant", save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True, remove_unused_columns=False, bf16=False,
        dataset_kwargs={"skip_prepare_dataset": True}, gradient_checkpointing=False, max_grad_norm=1e9, packing=False,
    )  # fmt: skip
    run = trl.SFTTrainer(
        model=model, args=arguments, processing_class=tokenizer, train_dataset=datasets.Dataset.from_list(items), data_collator=collate
    )  # fmt: skip
    run.train()
    loss = reference(**pad_collate(samples[:8])).loss
    assert losses(run) == [pytest.approx(float(loss.detach()), rel=1e-5)]
    # one step of plain gradient descent on the padded batch
    loss.backward()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter -= 0.05 * parameter.grad
    one, two = parameters(run.model), parameters(reference)
    assert float((one - two).norm() / two.norm()) <= 1e-5


def test_distributed_samplers_share_out_an_epoch(samples):
    """Two ranks' losses, weighted by their tokens, make the loss of the whole padded data set, with either way of packing."""
    model = tiny_llama(register())
    model.config.use_cache = False
    data = PackedDataset(samples, 48, pad_token_id=PAD, rows_multiple_of=4)
    collator = DynamicPackCollator(capacity=48, pad_token_id=PAD)
    expected = float(tiny_llama("sdpa")(**pad_collate(samples)).loss.detach())
    for items, collate, size in ((data, data.collate, 2), (samples, collator, 4)):
        total, count = 0.0, 0
        for rank in range(2):
            sampler = DistributedSampler(items, num_replicas=2, rank=rank, shuffle=True, seed=1)
            for batch in DataLoader(items, batch_size=size, sampler=sampler, collate_fn=collate):
                learnt = int((batch["labels"] != -100).sum())
                total, count = total + float(model(**batch).loss.detach()) * learnt, count + learnt
        assert count == sum(label != -100 for sample in samples for label in sample["labels"][1:])
        assert total / count == pytest.approx(expected, rel=1e-5)
