"""The prompts of a run: five built-in ones, or one a line from a file."""

from __future__ import annotations

from pathlib import Path

# One sentence each, so that the work is nearly all decoding. Request i uses prompt i mod 5.
DEFAULT_PROMPTS: tuple[str, ...] = (
    "人工智能是研究如何让机器具备感知、推理和决策等能力的一门学科。",
    "机器学习让计算机从已有的数据中总结规律，并用这些规律对新情况作出判断。",
    "深度学习借助层层相连的神经网络，从原始数据中自动提炼出由浅入深的特征。",
    "自然语言处理关注的是怎样让计算机读懂、生成并翻译人们日常使用的语言。",
    "计算机视觉致力于让机器从图像和视频中识别物体、理解场景并把握其中的变化。",
)

# Not one of the measured prompts: the warm-up must not put any of them into a server's prefix cache.
WARMUP_PROMPT = "你好，今天天气怎么样？"


def load_prompts(path: str | None) -> list[str]:
    """The built-in prompts, or the non-empty lines of the file `path`.

    Raises OSError when the file cannot be read and ValueError when it holds no prompt or is not UTF-8.
    """
    if path is None:
        return list(DEFAULT_PROMPTS)
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as exc:
        raise ValueError(f"{path} is not UTF-8 text: {exc}") from exc
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise ValueError(f"{path} holds no prompt: write one a line")
    return prompts
