"""`train`: check what the user passes, prepare the problem, run the epochs, return the network."""

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace

from numpy.typing import ArrayLike, DTypeLike

from fastmlp.callbacks import Callback, check_callbacks
from fastmlp.checkpoints import check_resumable, identify, read_checkpoint
from fastmlp.epochs import run_epochs
from fastmlp.names import answers_by_name
from fastmlp.network import MLP
from fastmlp.options import lists_choices, read_options
from fastmlp.preparation import prepare
from fastmlp.steering import Training


@answers_by_name
@lists_choices
def train(
    X: ArrayLike,
    y: ArrayLike,
    *,
    hidden: int | Sequence[int] = (256, 128),
    activation: str | Sequence[str] = "relu",
    loss: str = "auto",
    init: str | float = "he",
    optimizer: str = "sgd",
    lr: float | None = None,
    lr_schedule: str = "constant",
    warmup_epochs: float | None = None,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    dropout: float | Sequence[float] = 0.0,
    clip_norm: float | None = None,
    ema_decay: float | None = None,
    label_smoothing: float = 0.0,
    num_epochs: int = 20,
    batch_size: int | None = None,
    shuffle: bool = True,
    normalize: str | None = "auto",
    normalize_targets: bool = True,
    validation_data: tuple[ArrayLike, ArrayLike] | None = None,
    validation_split: float | None = None,
    sample_weight: ArrayLike | None = None,
    backend: str = "jit",
    dtype: DTypeLike = "float32",
    num_threads: int | None = None,
    seed: int | None = None,
    params: Sequence[tuple[ArrayLike, ArrayLike]] | None = None,
    resume: str | os.PathLike[str] | None = None,
    epoch_loss: str = "running",
    track_gradients: bool | str = False,
    callbacks: Iterable[Callback] = (),
    verbose: bool | int = True,
) -> MLP:
    """Train a multilayer perceptron and return it.

    Nothing that is passed in gets modified. Ctrl-C ends the training and returns the network as it was after the last
    whole epoch, with the history of whole epochs, whenever it comes once the first has begun; a loss that stops being
    finite does the same, with a RuntimeWarning that names the likely cause.

    Parameters
    ----------
    X : (n, d) array, CSR matrix or data frame
        Features of any real dtype. A data frame's columns may be Booleans and nullable numbers without gaps; if all
        their names are strings, the network keeps and later compares them. Masked arrays are refused.
    y : (n,) or (n, k) array
        Integer, string or one-hot labels (any dtype) for classification; other floats for regression; rows of 0 and 1
        for multilabel targets with ``loss="binary_cross_entropy"``. See `loss` for whole numbers that could be both.
    hidden : sequence of int
        Widths of the hidden layers; empty for a linear model.
    activation : <activation>, or a sequence of them
        Of all hidden layers, or of each.
    loss : <loss>
        "auto" picks the (softmax) cross-entropy for labels and the mean squared error for numbers; "huber" is half of
        that up to errors of one standard deviation of the targets, and grows as the error beyond; "poisson" is half the
        deviance of counts, whose predictions are e to the output. Integers are labels
        and floats are numbers, but two kinds could be either and have to be told by another loss: more than 20
        different integers with fewer than 5 rows each on average, and floats that are all whole and have at most 20
        values with at least 5 rows each on average.
    init : {"he", "xavier"} or float
        Initial weights are normal with standard deviation sqrt(2/in), sqrt(2/(in + out)), or this number. Biases are 0.
    optimizer : <optimizer>
        "adamw" is Adam with decoupled decay: each step takes lr · `weight_decay` · w away, and the means of gradients
        don't know of it. `weight_decay` is yours to choose; PyTorch's is 0.01 by default.
    lr : float, optional
        Learning rate; by default 0.001, and for SGD 0.1, of a regression 0.015 (Huber: 0.03) but at most 1 / the mean
        squared length of the normalised rows, which of standardised columns is their number, times (1 - momentum).
    lr_schedule : <lr_schedule>
        What `lr` is multiplied by in each step: 1; what falls from 1 to 0 in a straight line, or along half a cosine;
        or "one_cycle", from 1/25 up to 1 and then down to 1/250,000, half a cosine each. It follows `num_epochs`, and a
        `resume` can't change that. Callbacks that set the learning rate set what is multiplied.
    warmup_epochs : float, optional
        Epochs, such as 0.5, in which the rate first rises to `lr` in a straight line, or of "one_cycle" along its
        cosine. By default none, of "one_cycle" 0.3 of all.
    momentum : float
        Of SGD, in [0, 1).
    nesterov : bool
        Whether the momentum is Nesterov's.
    weight_decay : float
        Factor λ of an L2 penalty λ/2 Σ w² over the weights, whose gradient λ w is added to that of the loss; of "adamw"
        the decoupled decay. Biases don't decay.
    dropout : float or sequence of float
        The share of its units that a hidden layer drops for each sample of a step, in [0, 1): of all hidden layers, or
        of each. The others count 1 / (1 - dropout) times. Of 1 - dropout, 16 binary digits are used. Predictions and
        validation drop nothing.
    clip_norm : float, optional
        A batch's gradient, all weights and biases together, is scaled to this norm if its own is larger, before it
        becomes a step and without the penalty. A norm that is no finite number ends the training as a divergence. The
        gradients of a regression are those of its standardised targets. It costs a second pass over the weights.
    ema_decay : float, optional
        d between 0 and 1: after every step the running average w̄ of the parameters becomes d w̄ + (1 - d) w; it starts
        at the initial ones. The steps go on from w, but the network, of which validation figures and predictions are
        and which is returned, has w̄. An average of about 1 / (1 - d) steps: with 0.999 it needs some thousands.
    label_smoothing : float
        s in [0, 1): the cross-entropy of training is that of targets (1 - s) y + s/K for K classes, the binary one that
        of y (1 - s) + s/2. History's training loss is that of the smoothed targets; validation figures and `MLP.loss`
        are not. Of other losses it has to be 0.
    num_epochs : int
        Of the whole training, those before a `resume` included.
    batch_size : int, optional
        The last batch of an epoch has the rows that are left. By default the power of two nearest to n / 32, from 8,
        of a regression 16, to 64, so that small tables get enough steps an epoch.
    shuffle : bool
        Whether each epoch visits the rows in a fresh order.
    normalize : {"auto", "unit", "zscore"} or None
        "unit" divides by 255; "zscore" subtracts each column's mean and divides by its standard deviation, learned from
        X and kept in the model; None changes nothing. "auto" is "unit" for pixels, nothing for features that are on a
        unit scale already, and else "zscore", in CSR the division of each column by the root mean square of its numbers
        other than 0. Pixels are uint8 or whole numbers up to 255, above 127 somewhere (uint8) or in most columns. A
        unit scale is a largest size from 1/2 to 1, or a mean within ±1 and a standard deviation from 1/2 (in nine of
        ten columns) to 2. Columns whose standard deviations are within a factor of 5 keep their proportions: all are
        divided by the root mean square of these.
    normalize_targets : bool
        Whether the network of a regression is trained on targets less their mean, divided by their standard deviation,
        column by column. Predictions, losses and history are in the units of y either way.
    validation_data : (X, y), optional
        Evaluated after every epoch.
    validation_split : float, optional
        Hold out this share of the rows, chosen by the seed and evenly from all classes, in place of `validation_data`.
        `sample_weight` is split with them and weighs their loss.
    sample_weight : (n,) array, optional
        The loss of a batch is then Σ w_i loss_i / Σ w_i.
    backend : {"jit", "reference"}
        The compiled path, or plain NumPy with the same numbers to rounding.
    dtype : {"float32", "float64"} or dtype
        Of parameters and arithmetic.
    num_threads : int, optional
        At most this many threads; by default as many as pay, and no more than the environment's OMP_NUM_THREADS. While
        other processes use the cores, fewer run, which the line of an epoch then tells. With FASTMLP_PIN=1 in the
        environment, each thread stays on a core of its own (Linux).
    seed : int, optional
        Fixes initial parameters, every permutation and dropped units, the same for both backends and any number of
        threads.
    params : list of (W, b), optional
        Start from these instead of random ones; copied. They are what `MLP.layers` shows: those of a regression belong
        to its standardised targets.
    resume : path, optional
        Go on from this checkpoint, which `fastmlp.callbacks.ModelCheckpoint` wrote, to `num_epochs` in all, as if the
        training had never stopped: parameters and history are the same to the bit. Everything else has to be what it
        was, and is compared, but for `num_threads` and `verbose`; what the training started from no longer matters, and
        callbacks may be others. Without `seed`, what was drawn then is used.
    epoch_loss : {"running", "full"}
        History's training loss: the weighted mean of the minibatch losses, or the loss of the whole training set after
        the epoch.
    track_gradients : bool or "first_epoch"
        Record gradients, updates and activations of every layer, see `History`: on the first batch of each epoch, or
        on every batch of the first epoch and the first one of the others.
    callbacks : iterable of callable
        Each is called as ``callback(model, history)`` after every epoch; a return value of True stops the training.
        See `fastmlp.callbacks` for early stopping, checkpoints and learning-rate schedules.
    verbose : bool or 2
        Whether to print the path taken and, on a terminal or in a notebook, a progress bar; elsewhere a line an epoch.
        With 2, also what each thread does in a batch: the stages of the compiled path, phase by phase.

    Returns
    -------
    MLP

    Raises
    ------
    ValueError, TypeError
        If an argument is unfit or unknown; the message names it. Nothing has been started then.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.load_mnist(1000)
    >>> model = fastmlp.train(X[:800], y[:800], num_epochs=5, seed=0, verbose=False)
    >>> model
    MLP(784-256-128-10, relu, cross_entropy, 235,146 parameters, float32)
    >>> model.score(X[800:], y[800:]) > 0.75
    True
    """
    options = read_options(locals())
    listed = check_callbacks(callbacks)
    checkpoint = None if resume is None else read_checkpoint(resume)
    if checkpoint is not None and options.seed is None:
        options = replace(options, seed=checkpoint.seed)
    preparation = prepare(X, y, options, sample_weight=sample_weight, params=params, validation_data=validation_data)
    training = Training(options.num_epochs, preparation.problem.optimizer.lr, preparation.monitors)
    if checkpoint is not None:
        check_resumable(checkpoint, identify(preparation, options), options)
        training.resume(checkpoint.network.history, checkpoint.kept)
    for callback in listed:
        if hasattr(callback, "begin"):
            callback.begin(training)
    if checkpoint is not None:
        training.lr = checkpoint.lr  # callbacks are called for that epoch once more, and set the next one's
    return run_epochs(preparation, options, training, listed, checkpoint, _warn)


def _warn(divergence: str) -> None:
    """Warn the caller of `train`."""
    warnings.warn(divergence, RuntimeWarning, stacklevel=5)
