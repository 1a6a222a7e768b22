"""The names that other libraries have for arguments and values, for error messages that tell the name here."""

import difflib
import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

STOPPING = "callbacks=[fastmlp.callbacks.EarlyStopping()]"

ARGUMENTS = {
    "clip_norm": "clipnorm global_clipnorm max_norm max_grad_norm gradient_clip_val grad_clip clip_grad_norm",
    "ema_decay": "ema use_ema ema_momentum averaging average swa",
    "label_smoothing": "smoothing label_smooth label_smoothing_factor",
    "num_epochs": "epochs n_epochs num_epoch nb_epoch max_epochs max_iter n_iter num_iterations iterations",
    "hidden": "hidden_layer_sizes hidden_layers hidden_sizes hidden_units hidden_dims layer_sizes layers units",
    "weight_decay": "alpha l2 l2_penalty l2_regularization reg_lambda lambda_ decay",
    "dropout": "dropout_rate dropout_p drop_rate drop_prob p_drop",
    "seed": "random_state random_seed rng np_random_state",
    "lr": "learning_rate learning_rate_init lr_rate lrate lr0 rate eta eta0 step_size",
    "lr_schedule": "lr_scheduler scheduler schedule learning_rate_schedule lr_scheduler_type",
    "warmup_epochs": "warmup warmup_steps num_warmup_steps warmup_ratio pct_start",
    "optimizer": "solver optimiser algorithm method",
    "loss": "criterion loss_fn loss_function objective cost",
    "activation": "activation_fn activation_function nonlinearity",
    "batch_size": "minibatch_size mini_batch_size batchsize batch bs",
    "num_threads": "n_jobs n_threads nthreads threads num_workers",
    "nesterov": "nesterovs_momentum use_nesterov",
    "validation_split": "validation_fraction validation_size val_split val_size test_size",
    "validation_data": "validation_set val_data val_set eval_set X_val X_test y_val y_test",
    "sample_weight": "class_weight class_weights weights",
    "params": "warm_start coefs init_params initial_params initial_weights",
    "resume": "checkpoint resume_from resume_from_checkpoint ckpt_path",
    "init": "initializer kernel_initializer init_scale",
    "normalize": "standardize scaler scaling normalise",
    "track_gradients": "log_gradients gradients",
    "verbose": "progress disp silent",
    STOPPING: "early_stopping n_iter_no_change patience tol",
}
"""An argument, and its names elsewhere."""

CHOICES = {
    "mean_squared_error": "mse squared_error mean_squared_loss l2 mseloss squared_loss",
    "binary_cross_entropy": "bce binary_crossentropy binarycrossentropy bceloss bcewithlogitsloss multilabel",
    "cross_entropy": "crossentropy cross_entropy_loss crossentropyloss categorical_crossentropy log_loss nll softmax "
    "sparse_categorical_crossentropy",
    "sigmoid": "logistic expit",
    "identity": "linear none",
    "he": "kaiming he_normal kaiming_normal he_uniform kaiming_uniform",
    "xavier": "glorot glorot_normal glorot_uniform xavier_normal xavier_uniform",
    "zscore": "standard standardize standardise z-score z_score standardscaler",
    "jit": "numba compiled",
    "reference": "numpy",
    "val_accuracy": "val_acc accuracy acc",
    "running": "batch minibatch",
    "one_cycle": "onecycle onecyclelr 1cycle",
    "cosine": "cosine_annealing cosineannealinglr cosinedecay cosine_decay",
    "linear": "linear_decay linearlr polynomial",
}
"""A value of some argument, and its names elsewhere, in small letters."""


def known_as(name: str, table: dict[str, str]) -> str | None:
    """Return what the name of something elsewhere is here, by a table such as ARGUMENTS."""
    return next((here for here, others in table.items() if name in others.split()), None)


def answers_by_name(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Have a function's TypeError about an argument that it doesn't have tell what the argument is called here."""
    names = [name for name, parameter in inspect.signature(function).parameters.items()]

    @functools.wraps(function)
    def checked(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        unknown = next((name for name in kwargs if name not in names), None)
        if unknown is not None:
            raise TypeError(f"{function.__name__}() got an unexpected keyword {unknown!r}{_answer(unknown, names)}")
        return function(*args, **kwargs)

    return checked


def _answer(unknown: str, names: list[str]) -> str:
    here = known_as(unknown.lower(), ARGUMENTS)
    if here in names or (here == STOPPING and "callbacks" in names):
        return f": here it is {here}"
    close = difflib.get_close_matches(unknown.lower(), names, 1)
    return f"; did you mean {close[0]}?" if close else f"; its arguments are {', '.join(names)}"
