"""Other tools' search for near copies: runs of 5 words, Jaccard 0.8, 128 hashes; how many of the texts they leave out."""

import json
import shutil
import tempfile
from pathlib import Path

from serve import serve, settings

GIVEN = settings()
FILE, TOOL = Path(GIVEN["texts"]), GIVEN["tool"]
TEXTS = [json.loads(line)["text"] for line in FILE.read_text(encoding="utf-8").splitlines()]
THRESHOLD, WORDS, HASHES = 0.8, 5, 128


def rensa():
    from rensa import RMinHash, RMinHashDeduplicator

    def run(_):
        found = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=HASHES, use_lsh=True, num_bands=16)
        dropped = 0
        for number, text in enumerate(TEXTS):
            words = text.lower().split()
            sketch = RMinHash(num_perm=HASHES, seed=42)
            sketch.update([" ".join(words[at : at + WORDS]) for at in range(max(1, len(words) - WORDS + 1))])
            dropped += not found.add(str(number), sketch)
        return {"dropped": dropped}

    return run


def text_dedup():
    from text_dedup import minhash

    def run(_):
        with tempfile.TemporaryDirectory() as folder:
            words = ["--path", "json", "--data_files", str(FILE), "--split", "train", "--cache_dir", f"{folder}/cache"]
            words += ["--output", f"{folder}/out", "--column", "text", "--ngram", str(WORDS), "--num_perm", str(HASHES)]
            words += ["--threshold", str(THRESHOLD), "--num_proc", "1"]
            minhash.main.main(words, standalone_mode=False)
            import datasets

            return {"dropped": len(TEXTS) - len(datasets.load_from_disk(f"{folder}/out"))}

    return run


def datatrove():
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    # 16 buckets of 8: two texts share one at about 0.7
    config = MinhashConfig(n_grams=WORDS, num_buckets=16, hashes_per_bucket=8)

    def run(_):
        folder = tempfile.mkdtemp()
        try:
            given = f"{folder}/in"
            Path(given).mkdir()
            shutil.copy(FILE, f"{given}/texts.jsonl")
            steps = [
                [JsonlReader(given), MinhashDedupSignature(f"{folder}/signatures", config=config)],
                [MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)],
                [MinhashDedupCluster(f"{folder}/buckets", f"{folder}/left_out", config=config)],
                [JsonlReader(given), MinhashDedupFilter(f"{folder}/left_out"), JsonlWriter(f"{folder}/kept", compression=None)],
            ]
            for number, step in enumerate(steps):
                tasks = config.num_buckets if number == 1 else 1
                LocalPipelineExecutor(step, tasks=tasks, workers=1, logging_dir=f"{folder}/logs{number}").run()
            kept = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in Path(folder, "kept").glob("*.jsonl"))
            return {"dropped": len(TEXTS) - kept}
        finally:
            shutil.rmtree(folder)

    return run


def data_juicer():
    from data_juicer.core.data import NestedDataset
    from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator

    def run(_):
        work = DocumentMinhashDeduplicator(
            tokenization="space", window_size=WORDS, num_permutations=HASHES, jaccard_threshold=THRESHOLD, num_proc=1
        )
        kept = work.run(NestedDataset.from_list([{"text": text} for text in TEXTS]))
        return {"dropped": len(TEXTS) - len(kept)}

    return run


serve({"rensa": rensa, "text-dedup": text_dedup, "datatrove": datatrove, "data-juicer": data_juicer}[TOOL]())
