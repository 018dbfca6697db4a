"""The Trainer of transformers on a model of four weights; it prints a dict at each evaluation."""

import torch
from transformers import PretrainedConfig, PreTrainedModel, Trainer, TrainingArguments

LEARNING_RATE = 0.05


class LineConfig(PretrainedConfig):
    model_type = "line"


class Line(PreTrainedModel):
    config_class = LineConfig

    def __init__(self, config):
        super().__init__(config)
        self.linear = torch.nn.Linear(1, 2)
        self.post_init()

    def forward(self, x, labels=None):
        logits = self.linear(x)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


def rows(n):
    return [{"x": [k / n], "labels": int(k > n // 2)} for k in range(n)]


def compute_metrics(predictions):
    logits, labels = predictions
    return {"accuracy": float((logits.argmax(-1) == labels).mean())}


torch.set_num_threads(1)
torch.manual_seed(0)
arguments = TrainingArguments(
    output_dir="/tmp/hf",
    learning_rate=LEARNING_RATE,
    max_steps=20,
    eval_strategy="steps",
    eval_steps=10,
    per_device_train_batch_size=8,
    logging_steps=10,
    save_strategy="no",
    report_to=[],
    use_cpu=True,
)
trainer = Trainer(
    model=Line(LineConfig()),
    args=arguments,
    train_dataset=rows(64),
    eval_dataset=rows(32),
    compute_metrics=compute_metrics,
)
trainer.train()
