import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.AbstractMap;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.producer.RoundRobinPartitioner;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.AbstractRecords;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.utils.Utils;

/**
 * Asks Apache's own classes what a key, a batch and a rotation must look like, and prints JSON.
 *
 * <p>{@code partitions}, {@code batches}: answers for inputs made up here. {@code read}: lines of
 * "name hex" on standard input are batches written by somebody else; tells what Kafka reads there.
 */
public final class KafkaOracle {
    private static final int[] COUNTS = {1, 2, 3, 6, 12, 100, 1000};
    private static final int BATCH_OVERHEAD = 61;
    private static final int LONGEST_PRINTED = 7500;
    private static final long NOW = 1_700_000_000_000L;

    /** Bytes given as a unit and how often it is repeated, so that large ones stay small on paper. */
    private record Field(byte[] unit, int times) {
        static Field of(String text) {
            return new Field(text.getBytes(StandardCharsets.UTF_8), 1);
        }

        byte[] bytes() {
            ByteBuffer all = ByteBuffer.allocate(unit.length * times);
            for (int i = 0; i < times; i++) {
                all.put(unit);
            }
            return all.array();
        }
    }

    private record Entry(long timestamp, Field key, Field value, List<Map.Entry<String, Field>> headers) {
        static Entry of(long timestamp, String key, String value) {
            return new Entry(timestamp, field(key), field(value), List.of());
        }

        private static Field field(String text) {
            return text == null ? null : Field.of(text);
        }
    }

    private record Stamp(String name, long producerId, short epoch, int sequence, boolean transactional) {}

    private record Codec(String name, Compression compression, CompressionType type) {}

    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "partitions" -> partitions();
            case "batches" -> batches();
            case "read" -> read();
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private static void partitions() {
        List<String> keys = new ArrayList<>();
        for (byte[] key : keys()) {
            StringBuilder answers = new StringBuilder();
            for (int count : COUNTS) {
                answers.append(answers.isEmpty() ? "" : ", ");
                answers.append(BuiltInPartitioner.partitionForKey(key, count));
            }
            keys.add("  [" + hex(key) + ", " + Utils.murmur2(key) + ", [" + answers + "]]");
        }
        StringBuilder counts = new StringBuilder();
        for (int count : COUNTS) {
            counts.append(counts.isEmpty() ? "" : ", ").append(count);
        }
        System.out.println("{\"counts\": [" + counts + "],");
        System.out.println(" \"round_robin\": [");
        System.out.println(rotation(5, 0, 1, 2, 3, 4) + ",");
        System.out.println(rotation(5, 1, 3, 4) + ",");
        System.out.println(rotation(3) + "],");
        System.out.println(" \"keys\": [");
        System.out.println(String.join(",\n", keys) + "]}");
    }

    private static List<byte[]> keys() {
        List<byte[]> keys = new ArrayList<>();
        for (String text : List.of("", "a", "ab", "abc", "21", "foobar", "a-little-bit-long-string",
                "a-little-bit-longer-string", "123456789", "grüße", "キー", "0", "-1")) {
            keys.add(text.getBytes(StandardCharsets.UTF_8));
        }
        for (int i = 0; i < 60; i++) {
            keys.add(("user-" + i * 7919).getBytes(StandardCharsets.UTF_8));
            keys.add(ByteBuffer.allocate(8).putLong(i * 1_000_003L).array());
        }
        Random random = new Random(4);
        for (int length = 0; length < 70; length++) {
            byte[] key = new byte[length];
            random.nextBytes(key);
            keys.add(key);
        }
        for (int length : new int[] {255, 256, 257, 300, 1023}) {
            byte[] key = new byte[length];
            random.nextBytes(key);
            keys.add(key);
        }
        return keys;
    }

    private static String rotation(int count, int... available) {
        Node node = new Node(0, "host", 9092);
        List<PartitionInfo> partitions = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            boolean hasLeader = false;
            for (int index : available) {
                hasLeader |= index == i;
            }
            partitions.add(new PartitionInfo("t", i, hasLeader ? node : null, new Node[] {node}, new Node[] {node}));
        }
        Cluster cluster = new Cluster("c", List.of(node), partitions, Set.of(), Set.of());
        StringBuilder answers = new StringBuilder();
        try (RoundRobinPartitioner partitioner = new RoundRobinPartitioner()) {
            for (int i = 0; i < 12; i++) {
                answers.append(i == 0 ? "" : ", ");
                answers.append(partitioner.partition("t", null, new byte[] {1}, null, null, cluster));
            }
        }
        StringBuilder leaders = new StringBuilder();
        for (int index : available) {
            leaders.append(leaders.isEmpty() ? "" : ", ").append(index);
        }
        return "  {\"all\": " + count + ", \"available\": [" + leaders + "], \"chosen\": [" + answers + "]}";
    }

    private static void batches() {
        List<String> cases = new ArrayList<>();
        Map<String, List<Entry>> sets = recordSets();
        sets.forEach((name, entries) -> {
            boolean isLarge = name.startsWith("large");
            for (Codec codec : codecs()) {
                // Levels other than the default show in large batches only; bare large ones need no proof.
                if (isLarge ? codec.type() != CompressionType.NONE : codec.name().indexOf('-') < 0) {
                    cases.add(print(name, entries, stamps().get(0), codec));
                }
            }
            if (!isLarge && !name.equals("sizes")) {
                for (Stamp stamp : stamps().subList(1, stamps().size())) {
                    cases.add(print(name, entries, stamp, codecs().get(0)));
                }
                cases.add(print(name, entries, stamps().get(1), codecs().get(3)));
            }
        });
        System.out.println("{\"record_sets\": {");
        System.out.println(sets.entrySet().stream()
                .map(set -> "  \"" + set.getKey() + "\": [\n" + set.getValue().stream()
                        .map(entry -> "    " + print(entry)).collect(Collectors.joining(",\n")) + "]")
                .collect(Collectors.joining(",\n")) + "},");
        System.out.println(" \"batches\": [");
        System.out.println(String.join(",\n", cases) + "]}");
    }

    private static String print(String set, List<Entry> entries, Stamp stamp, Codec codec) {
        return "  {\"records\": \"" + set + "\", \"codec\": \"" + codec.name() + "\", \"codec_id\": "
                + codec.type().id + ", \"stamp\": " + print(stamp) + ",\n   " + print(write(entries, stamp, codec))
                + "}";
    }

    private static Map<String, List<Entry>> recordSets() {
        Map<String, List<Entry>> sets = new LinkedHashMap<>();
        sets.put("one", List.of(Entry.of(NOW, "key", "value")));
        sets.put("nulls", List.of(Entry.of(NOW, null, null), Entry.of(NOW, "k", null),
                Entry.of(NOW, null, "v"), Entry.of(NOW, "", "")));
        sets.put("timestamps", List.of(Entry.of(NOW, "a", "1"), Entry.of(NOW - 5000, "b", "2"),
                Entry.of(NOW + 63, "c", "3"), Entry.of(NOW + 8192, "d", "4"), Entry.of(NOW + 3_000_000_000L, "e", "5"),
                Entry.of(0, "f", "6")));
        sets.put("headers", List.of(
                new Entry(NOW, Field.of("k"), Field.of("v"),
                        List.of(Map.entry("trace", Field.of("0123")), Map.entry("trace", Field.of("4567")))),
                new Entry(NOW + 1, null, Field.of("v"),
                        List.of(Map.entry("größe", new Field(new byte[0], 1)), Map.entry("", Field.of("x")))),
                new Entry(NOW + 2, Field.of("k"), null, headers(70))));
        List<Entry> many = new ArrayList<>();
        for (int i = 0; i < 70; i++) {
            many.add(Entry.of(NOW + i / 3, "key-" + i % 9, "order " + i));
        }
        sets.put("many", many);
        sets.put("sizes", List.of(
                new Entry(NOW, repeat("k", 63), repeat("v", 64), List.of()),
                new Entry(NOW, repeat("k", 64), repeat("v", 8191), List.of()),
                new Entry(NOW, null, repeat("v", 8192), List.of(Map.entry("h".repeat(64), repeat("w", 4100))))));
        sets.put("large", List.of(
                new Entry(NOW, Field.of("k"), repeat("abcdefghij", 9000), List.of()),
                new Entry(NOW + 1, Field.of("k"), repeat("0123456789", 6000), List.of(Map.entry("h", Field.of("w"))))));
        return sets;
    }

    private static List<Map.Entry<String, Field>> headers(int count) {
        List<Map.Entry<String, Field>> headers = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            headers.add(Map.entry("h" + i, Field.of("" + i)));
        }
        headers.add(new AbstractMap.SimpleEntry<>("null", null));
        return headers;
    }

    private static Field repeat(String unit, int times) {
        return new Field(unit.getBytes(StandardCharsets.UTF_8), times);
    }

    private static List<Stamp> stamps() {
        return List.of(
                new Stamp("none", -1, (short) -1, -1, false),
                new Stamp("idempotent", 4_000_000_000L, (short) 3, 77, false),
                new Stamp("last sequence", 1, (short) 32766, Integer.MAX_VALUE, false),
                new Stamp("transactional", 9, (short) 0, 0, true));
    }

    private static List<Codec> codecs() {
        return List.of(
                new Codec("none", Compression.NONE, CompressionType.NONE),
                new Codec("gzip", Compression.gzip().build(), CompressionType.GZIP),
                new Codec("gzip-9", Compression.gzip().level(9).build(), CompressionType.GZIP),
                new Codec("snappy", Compression.snappy().build(), CompressionType.SNAPPY),
                new Codec("lz4", Compression.lz4().build(), CompressionType.LZ4),
                new Codec("lz4-1", Compression.lz4().level(1).build(), CompressionType.LZ4),
                new Codec("lz4-17", Compression.lz4().level(17).build(), CompressionType.LZ4),
                new Codec("zstd", Compression.zstd().build(), CompressionType.ZSTD),
                new Codec("zstd-19", Compression.zstd().level(19).build(), CompressionType.ZSTD));
    }

    private static byte[] write(List<Entry> entries, Stamp stamp, Codec codec) {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1 << 18),
                RecordBatch.MAGIC_VALUE_V2, codec.compression(), TimestampType.CREATE_TIME, 0L);
        for (Entry entry : entries) {
            builder.append(entry.timestamp(), bytes(entry.key()), bytes(entry.value()), headersOf(entry));
        }
        if (stamp.producerId() >= 0) {
            builder.setProducerState(stamp.producerId(), stamp.epoch(), stamp.sequence(), stamp.transactional());
        }
        builder.close();
        return Utils.toArray(builder.build().buffer());
    }

    private static Header[] headersOf(Entry entry) {
        return entry.headers().stream()
                .map(header -> new RecordHeader(header.getKey(), bytes(header.getValue())))
                .toArray(Header[]::new);
    }

    private static byte[] bytes(Field field) {
        return field == null ? null : field.bytes();
    }

    private static void read() throws Exception {
        List<String> answers = new ArrayList<>();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            byte[] data = HexFormat.of().parseHex(words[1]);
            answers.add("  {\"name\": \"" + words[0] + "\", \"content\": \"" + contentOf(data) + "\",\n   " + print(data) + "}");
        }
        System.out.println("[\n" + String.join(",\n", answers) + "]");
    }

    /** The digest of everything that Kafka's reader, checksum included, finds in {@code data}. */
    private static String contentOf(byte[] data) {
        MessageDigest digest = newDigest();
        int batches = 0;
        for (MutableRecordBatch batch : MemoryRecords.readableRecords(ByteBuffer.wrap(data)).batches()) {
            batch.ensureValid();
            batches++;
            for (Record record : batch) {
                record.ensureValid();
                StringBuilder text = new StringBuilder();
                text.append(record.offset()).append(' ').append(record.timestamp());
                text.append(' ').append(plainHex(Utils.toNullableArray(record.key())));
                text.append(' ').append(plainHex(Utils.toNullableArray(record.value())));
                for (Header header : record.headers()) {
                    text.append(' ').append(plainHex(header.key().getBytes(StandardCharsets.UTF_8)));
                    text.append('=').append(plainHex(header.value()));
                }
                digest.update(text.append('\n').toString().getBytes(StandardCharsets.US_ASCII));
            }
        }
        if (batches != 1) {
            throw new IllegalStateException(batches + " batches instead of one");
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    /** A batch itself, or if it is long what proves that another one is equal. */
    private static String print(byte[] batch) {
        return batch.length <= LONGEST_PRINTED
                ? "\"batch\": " + hex(batch)
                : "\"sha256\": " + hex(newDigest().digest(batch));
    }

    private static MessageDigest newDigest() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static String print(Stamp stamp) {
        return "[" + stamp.producerId() + ", " + stamp.epoch() + ", " + stamp.sequence() + ", "
                + stamp.transactional() + "]";
    }

    private static String print(Entry entry) {
        String headers = entry.headers().stream()
                .map(header -> "[\"" + header.getKey() + "\", " + print(header.getValue()) + "]")
                .collect(Collectors.joining(", "));
        int bound = AbstractRecords.estimateSizeInBytesUpperBound(RecordBatch.MAGIC_VALUE_V2, CompressionType.NONE,
                bytes(entry.key()), bytes(entry.value()), headersOf(entry)) - BATCH_OVERHEAD;
        return "[" + entry.timestamp() + ", " + print(entry.key()) + ", " + print(entry.value()) + ", ["
                + headers + "], " + bound + "]";
    }

    private static String print(Field field) {
        return field == null ? "null" : "[" + hex(field.unit()) + ", " + field.times() + "]";
    }

    private static String hex(byte[] bytes) {
        return "\"" + plainHex(bytes) + "\"";
    }

    private static String plainHex(byte[] bytes) {
        return bytes == null ? "null" : HexFormat.of().formatHex(bytes);
    }
}
