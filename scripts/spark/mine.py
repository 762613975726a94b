#!/usr/bin/env python3
"""Does the tasks of a mining run on Apache Spark.

The run must have been begun (`magiclens mine plan RUN ...`), in a place that driver and executors all reach: a shared disk or
an object store. Each Spark task starts `magiclens mine shard RUN -`, which publishes its results whole, so that Spark may
repeat any task on any machine. What is published already is not done again: after a stop, start the driver once more.

    spark-submit [--master ...] scripts/spark/mine.py s3://bucket/run
    python scripts/spark/mine.py --master 'local[4]' runs/web
    python scripts/spark/mine.py --master 'local[4]' runs/web -- --replies /mnt/shared/replies

The program must be installed under the same path on all machines. Variables of the driver whose names begin with AWS_, AZURE_,
GOOGLE_ or MAGICLENS_ are given to it; everything else it finds in the environment of the executor. See docs/mining-at-scale.md.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile
import threading

try:
    from pyspark import SparkConf, SparkContext
except ImportError:
    sys.exit("error: no Python package `pyspark`\nhint: `pip install pyspark`, or start this file with `spark-submit`")

PASSED_ON = ("AWS_", "AZURE_", "GOOGLE_", "MAGICLENS_")
LAST_LINES = 20
FAILED = "magiclens mine shard failed:"


class Failure(Exception):
    """Something that the user can mend; the message says how."""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="where the run lives: a folder or the address of an object store")
    parser.add_argument("options", nargs="*", help="after `--`: more options of `magiclens mine shard`")
    parser.add_argument("--program", default="magiclens", help="the program, on all machines (default: by PATH)")
    parser.add_argument("--master", help="where Spark runs, unless spark-submit says so")
    parser.add_argument("--conf", action="append", default=[], metavar="KEY=VALUE", help="a setting of Spark; repeatable")
    parser.add_argument("--env", action="append", default=[], metavar="NAME", help="another variable to pass on; repeatable")
    parser.add_argument("--batch", type=int, default=1, help="tasks that one process does one after another (default: 1)")
    arguments = parser.parse_args()
    if arguments.batch < 1:
        parser.error(f"`--batch {arguments.batch}` is not a positive number")
    for setting in arguments.conf:
        if "=" not in setting:
            parser.error(f"`--conf {setting}` has no `=`")
    return arguments


def read_steps(program, run):
    """The steps in their order: [("pages", 24), ...]. Later ones may grow when earlier ones are done."""
    command = [program, "mine", "steps", run]
    try:
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        steps = [json.loads(line) for line in answer.splitlines()]
        return [(step["step"], int(step["tasks"])) for step in steps]
    except OSError as error:
        raise Failure(f"`{program}` cannot be started: {error.strerror}\nhint: give its path with `--program`") from error
    except subprocess.CalledProcessError as error:
        raise Failure(f"`{' '.join(command)}` failed with exit code {error.returncode}, as said above") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"`{' '.join(command)}` printed no steps: {error}\nhint: program and driver must be of one version") from error


def make_worker(command, variables):
    """What Spark runs for each partition, on an executor.

    RDD.pipe would do, but it starts the program with an empty environment, and its error does not say why the program failed.
    """

    def work(lines):
        undone = list(lines)
        last_lines = collections.deque(maxlen=LAST_LINES)
        with tempfile.TemporaryFile("w+") as tasks:
            tasks.writelines(f"{line}\n" for line in undone)
            tasks.seek(0)
            process = subprocess.Popen(
                command,
                env={**os.environ, **variables},
                stdin=tasks,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )

        def follow():
            for line in process.stderr:
                # Into the log of the executor as it comes, and into the message of a failure.
                sys.stderr.write(line)
                last_lines.append(line)

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        for line in process.stdout:
            undone = undone[1:]
            yield line.rstrip("\n")
        follower.join()
        code = process.wait()
        if code != 0:
            failure = {"task": undone[:1], "code": code, "said": "".join(last_lines)}
            raise RuntimeError(f"{FAILED} {json.dumps(failure)}")

    return work


def in_batches(step, tasks, size):
    """The lines that the program reads, one list a partition."""
    lines = [json.dumps({"step": step, "task": task}) for task in range(tasks)]
    return [lines[start : start + size] for start in range(0, tasks, size)]


def run_step(spark, worker, step, tasks, batch):
    partitions = in_batches(step, tasks, batch)
    print(f"{step}: {tasks} tasks", file=sys.stderr)
    try:
        lines = spark.parallelize(partitions, len(partitions)).flatMap(list).mapPartitions(worker).collect()
    except Exception as error:
        raise Failure(f"step `{step}` failed: {explain(str(error))}") from error
    if len(lines) != tasks:
        raise Failure(f"step `{step}`: {len(lines)} of {tasks} tasks were reported\nhint: program and driver must be of one version")


def explain(message):
    """Of Spark's many lines, the program's own last words, if it is the program that failed."""
    found = re.search(re.escape(FAILED) + r" (\{.*\})", message)
    if found is None:
        return message
    failure = json.loads(found[1])
    task = "".join(failure["task"]) or "after its last task"
    return (
        f"{task}, exit code {failure['code']}\n{failure['said'].rstrip()}\n"
        "hint: mend the cause and start again; what is published is kept"
    )


def main():
    arguments = parse_arguments()
    variables = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    for name in arguments.env:
        if name not in os.environ:
            raise Failure(f"`--env {name}`: there is no such variable here")
        variables[name] = os.environ[name]
    steps = read_steps(arguments.program, arguments.run)

    conf = SparkConf().setIfMissing("spark.app.name", f"magiclens mine {arguments.run}")
    if arguments.master:
        conf.setMaster(arguments.master)
    for setting in arguments.conf:
        conf.set(*setting.split("=", 1))
    # One program has as many threads as Spark gives a task cores, so that programs side by side do not crowd each other out.
    variables.setdefault("RAYON_NUM_THREADS", conf.get("spark.task.cpus", "1"))
    spark = SparkContext(conf=conf)
    try:
        command = [arguments.program, "mine", "shard", arguments.run, "-", *arguments.options]
        worker = make_worker(command, variables)
        done = 0
        while done < len(steps):
            run_step(spark, worker, *steps[done], arguments.batch)
            done += 1
            steps = read_steps(arguments.program, arguments.run)
    finally:
        spark.stop()


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"error: {failure}")
