"""Parameters of functions of common libraries whose literal arguments are hyperparameters.

From the signatures of PyTorch 2.9 (torch.optim, torch.nn, torch.optim.lr_scheduler, torch.utils.data), Keras 3, optax
0.2, transformers 5, Lightning 2.6, fastai 2 and Stable-Baselines3 2. Sizes of layers are not among them: they must
match those of other layers.
"""

_ADAM = ("params", "lr", "betas", "eps", "weight_decay")
_DROPOUTS = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout")
PARAMETERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "SparseAdam", "Lion", "Muon"), _ADAM),
    "SGD": ("params", "lr", "momentum", "dampening", "weight_decay"),
    "RMSprop": ("params", "lr", "alpha", "eps", "weight_decay", "momentum"),
    "Adagrad": ("params", "lr", "lr_decay", "weight_decay"),
    "Adadelta": ("params", "lr", "rho", "eps", "weight_decay"),
    "LBFGS": ("params", "lr"),
    **dict.fromkeys(("adam", "adamw", "sgd", "rmsprop", "adagrad", "lion"), ("learning_rate",)),
    **dict.fromkeys(_DROPOUTS, ("p",)),
    "dropout": ("input", "p"),
    "LeakyReLU": ("negative_slope",),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), ("input_size", "hidden_size", "num_layers")),
    "MultiheadAttention": ("embed_dim", "num_heads", "dropout"),
    **dict.fromkeys(
        ("TransformerEncoderLayer", "TransformerDecoderLayer"), ("d_model", "nhead", "dim_feedforward", "dropout")
    ),
    "StepLR": ("optimizer", "step_size", "gamma"),
    "MultiStepLR": ("optimizer", "milestones", "gamma"),
    "ExponentialLR": ("optimizer", "gamma"),
    "CosineAnnealingLR": ("optimizer", "T_max", "eta_min"),
    "OneCycleLR": ("optimizer", "max_lr"),
    "ReduceLROnPlateau": ("optimizer", "mode", "factor"),
    "LinearLR": ("optimizer", "start_factor", "end_factor"),
    "CrossEntropyLoss": ("weight",),
    "cross_entropy": ("input", "target"),
    "HuberLoss": ("reduction", "delta"),
    "SmoothL1Loss": ("size_average", "reduce", "reduction", "beta"),
    "clip_grad_norm_": ("parameters", "max_norm"),
    "clip_grad_value_": ("parameters", "clip_value"),
    "DataLoader": ("dataset", "batch_size"),
    "fit_one_cycle": ("n_epoch", "lr_max"),
    "fine_tune": ("epochs", "base_lr"),
    "learn": ("total_timesteps",),
    **dict.fromkeys(("fit", "Trainer", "TrainingArguments", "Seq2SeqTrainingArguments", "SFTConfig", "Learner"), ()),
    **dict.fromkeys(("PPO", "A2C", "DQN", "SAC", "TD3", "DDPG"), ("policy", "env", "learning_rate")),
}
"""Positional parameters, by function."""
SCHEDULES = frozenset({"OneCycleLR"})
"""Those whose number of epochs is not the length of the training itself."""
SEARCHED_KEYWORDS = frozenset({
    *("lr", "learning_rate", "momentum", "dampening", "weight_decay", "betas", "alpha", "rho", "eps", "lr_decay", "p"),
    *("rate", "dropout", "negative_slope", "dim_feedforward", "gamma", "eta_min", "max_lr", "factor", "start_factor"),
    *("div_factor", "end_factor", "pct_start", "label_smoothing", "delta", "beta", "max_norm", "clip_value"),
    *("batch_size", "beta_1", "beta_2", "b1", "b2", "clipnorm", "step_size", "lr_max", "base_lr", "wd"),
    *("per_device_train_batch_size", "warmup_ratio", "warmup_steps", "label_smoothing_factor", "max_grad_norm"),
    *("adam_beta1", "adam_beta2", "gradient_clip_val", "gae_lambda", "ent_coef", "vf_coef", "clip_range", "tau"),
    *("epochs", "n_epoch", "max_epochs", "num_train_epochs", "max_steps", "total_timesteps"),
})  # fmt: skip
"""Those of the parameters, positional or by keyword, that are hyperparameters, or set how long it trains."""
FIRST_IS_RATE = frozenset({"Adam", "AdamW", "SGD", "RMSprop", "Adagrad", "Adadelta", "Nadam", "Adamax", "Lion"}) | {
    *("adam", "adamw", "sgd", "rmsprop", "adagrad", "lion"),
}
"""Optimizers whose first argument is the learning rate where it is a number."""
ESTIMATORS = frozenset({"sklearn", "xgboost", "lightgbm", "catboost", "xgb", "lgb"})
"""Libraries whose constructors take hyperparameters by keyword."""
ALIASES = {
    **{(layer, "p"): "dropout" for layer in (*_DROPOUTS, "dropout")},
    **{(layer, "rate"): "dropout" for layer in ("Dropout", "SpatialDropout2D")},
    ("clip_grad_norm_", "max_norm"): "grad_clip",
    ("clip_grad_value_", "clip_value"): "grad_clip",
}
"""Better names of parameters, by function and parameter."""
NOT_OF_TRAINING = frozenset(
    [
        "EVAL",
        "EVALUATE",
        "EVALUATION",
        "TEST",
        "TESTING",
        "VALID",
        "VALIDATE",
        "VALIDATION",
        "INFER",
        "INFERENCE",
        "PREDICT",
        "ACCURACY",
        "ACC",
        "METRIC",
        "METRICS",
        "ESTIMATE",
        "PLOT",
        "LOG",
        "LOGGING",
        "SAVE",
        "PRINT",
        "SHOW",
        "DRAW",
        "RENDER",
        "DISPLAY",
        "VISUALIZE",
        "VISUALISE",
        "DATA",
        "DATASET",
        "DATASETS",
        "LOAD",
        "READ",
        "WRITE",
        "DOWNLOAD",
        "FETCH",
        "SPLIT",
        "SAMPLE",
        "SAMPLES",
        "GENERATE",
        "GENERATOR",
        "TOY",
        "SYNTHETIC",
        "TOKENIZE",
        "TOKENIZER",
        "ENCODE",
        "DECODE",
        "SEED",
        "ARGPARSE",
        "PARSE",
        "COLLATE",
        "AUGMENT",
        "TRANSFORM",
        "TRANSFORMS",
        "CHECKPOINT",
        "CKPT",
        "SETUP",
        "PROFILE",
        "TIMER",
        "FIGURE",
        "BATCHES",
    ]
)
"""Words in names of functions whose numbers do not concern training."""
