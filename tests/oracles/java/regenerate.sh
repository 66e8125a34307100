#!/bin/sh
# Ask Apache Kafka's own classes again. Needs Java 17 or newer, Maven, and a Python with the
# codecs installed (PYTHON=..., default python3).
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mvn -q -B -f pom.xml dependency:copy-dependencies -DoutputDirectory="$work/jars"
oracle() { java -cp "$work/jars/*" KafkaOracle.java "$1"; }

oracle partitions > "$work/partitions.json"
oracle batches > "$work/batches.json"
java -cp "$work/jars/*" SerializerOracle.java > "$work/serializers.json"
cp "$work/partitions.json" "$work/batches.json" "$work/serializers.json" .
(cd ../../.. && "$python" -m tests.oracles.java.data) > "$work/ours.txt"
oracle read < "$work/ours.txt" > "$work/read_by_java.json"
cp "$work/read_by_java.json" .
