"""What fa3-fwd 0.0.3 was built without."""

CONFIG = {
    "build_flags": {
        "FLASHATTENTION_DISABLE_BACKWARD": True,
        "FLASHATTENTION_DISABLE_LOCAL": True,
        "FLASHATTENTION_DISABLE_FP16": True,
        "FLASHATTENTION_DISABLE_VARLEN": False,
    }
}
