"""What an engine can answer besides success; the kubelet turns these into waiting reasons and events."""


class EngineError(Exception):
    """The engine refused or failed; the message is fit for an Event."""


class EngineUnavailable(EngineError):
    """The engine's daemon does not answer: nothing is known of the request; look again later."""


class NotFound(EngineError):
    """No such container, sandbox or exec session."""


class ImageNotFound(EngineError):
    """The image is not on this node (ErrImageNeverPull, or the registry says it does not exist)."""


class ImagePullError(EngineError):
    """The registry could not be reached or refused (ErrImagePull)."""


class InvalidContainer(EngineError):
    """The specification cannot be carried out as it is (CreateContainerError, CreateContainerConfigError)."""


class StartError(EngineError):
    """The container exists but its process could not be started (RunContainerError)."""
