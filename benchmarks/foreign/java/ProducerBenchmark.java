import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Kafka's own producer: one callback for each record. Its buffer.memory bounds what is in flight. */
public final class ProducerBenchmark {
    private static final int RECORDS_PER_LOOK = 100;
    private static final long LEAD_NS = 100_000_000L;

    private final Map<String, String> job;
    private final KafkaProducer<byte[], byte[]> producer;
    private final String topic;
    private final byte[][] keys;
    private final byte[][] values;
    private final LongAdder acknowledged = new LongAdder();
    private final AtomicReference<Exception> failure = new AtomicReference<>();
    private long next = 0;

    private ProducerBenchmark(Map<String, String> job) throws IOException {
        this.job = job;
        this.topic = job.get("topic");
        this.values = pieces(job.get("values_file"), number("value_size"));
        this.keys = number("keys") > 0 ? pieces(job.get("keys_file"), 16) : null;
        Properties settings = new Properties();
        settings.put("bootstrap.servers", job.get("bootstrap_servers"));
        settings.put("acks", "all");
        settings.put("enable.idempotence", "true");
        settings.put("linger.ms", job.get("linger_ms"));
        settings.put("compression.type", job.get("compression"));
        settings.put("key.serializer", ByteArraySerializer.class.getName());
        settings.put("value.serializer", ByteArraySerializer.class.getName());
        if (job.containsKey("batch_size")) {
            settings.put("batch.size", job.get("batch_size"));
        }
        this.producer = new KafkaProducer<>(settings);
        this.producer.partitionsFor(topic);
    }

    public static void main(String[] words) throws Exception {
        Map<String, String> job = new HashMap<>();
        for (String word : words) {
            int sign = word.indexOf('=');
            job.put(word.substring(0, sign), word.substring(sign + 1));
        }
        ProducerBenchmark benchmark = new ProducerBenchmark(job);
        String figures =
                job.get("kind").equals("latency") ? benchmark.paced() : benchmark.throughput();
        benchmark.producer.close();
        System.out.println(figures);
    }

    private String throughput() throws Exception {
        long warm = pump(seconds("warm_up"));
        long wall = System.nanoTime();
        double cpu = cpuSeconds();
        long records = pump(seconds("seconds"));
        double cpuUsed = cpuSeconds() - cpu;
        double wallUsed = (System.nanoTime() - wall) / 1e9;
        return figures(records, wallUsed, cpuUsed, warm + records, "{}", 0);
    }

    private long pump(double seconds) throws Exception {
        acknowledged.reset();
        long count = 0;
        long end = System.nanoTime() + (long) (seconds * 1e9);
        while (System.nanoTime() < end) {
            for (int i = 0; i < RECORDS_PER_LOOK; i++) {
                producer.send(record(), (metadata, error) -> note(error));
            }
            count += RECORDS_PER_LOOK;
        }
        finish(count);
        return count;
    }

    private String paced() throws Exception {
        long rate = number("rate");
        long tick = number("tick_ns");
        int first = (int) (rate * seconds("warm_up"));
        int total = first + (int) (rate * seconds("seconds"));
        long start = System.nanoTime() + LEAD_NS;
        long ticks = (total - 1) * 1_000_000_000L / (rate * tick) + 1;
        Process metronome = metronome(start, tick, ticks);
        long[] latencies = new long[total];
        double[] callDelays = new double[(int) ticks];
        int looks = 0;
        long wall = 0;
        double cpu = 0;
        byte[] seen = new byte[65536];
        InputStream beats = metronome.getInputStream();
        for (int index = 0; index < total; ) {
            if (beats.read(seen) < 0) {
                throw new IllegalStateException("the metronome ended before the schedule did");
            }
            long now = System.nanoTime();
            long passed = (now - start) / tick + 1;
            long due = Math.min(total, (passed * rate * tick + 999_999_999L) / 1_000_000_000L);
            if (index >= first && index < due) {
                callDelays[looks++] = (now - intended(start, tick, rate, index)) / 1e6;
            }
            for (; index < due; index++) {
                if (index == first) {
                    wall = System.nanoTime();
                    cpu = cpuSeconds();
                }
                int place = index;
                long intended = intended(start, tick, rate, index);
                producer.send(record(), (metadata, error) -> {
                    latencies[place] = System.nanoTime() - intended;
                    note(error);
                });
            }
        }
        finish(total);
        double cpuUsed = cpuSeconds() - cpu;
        double wallUsed = (System.nanoTime() - wall) / 1e9;
        metronome.waitFor();
        long[] counted = Arrays.copyOfRange(latencies, first, total);
        Arrays.sort(counted);
        double[] calls = Arrays.copyOf(callDelays, looks);
        Arrays.sort(calls);
        return figures(
                counted.length, wallUsed, cpuUsed, total, percentiles(counted), calls[looks / 2]);
    }

    private static long intended(long start, long tick, long rate, long index) {
        return start + index * 1_000_000_000L / (rate * tick) * tick;
    }

    private Process metronome(long start, long tick, long ticks) throws IOException {
        ProcessBuilder builder = new ProcessBuilder(
                job.get("python"), "-I", "-S", job.get("metronome"),
                Long.toString(start), Long.toString(tick), Long.toString(ticks));
        return builder.redirectError(ProcessBuilder.Redirect.INHERIT).start();
    }

    private ProducerRecord<byte[], byte[]> record() {
        long number = next++;
        byte[] value = values[(int) (number % values.length)];
        byte[] key = null;
        if (keys != null) {
            key = keys[(int) (number % keys.length)];
        } else if (number("keys") == 0) {
            key = String.format(Locale.ROOT, "key-%012d", number).getBytes();
        }
        return new ProducerRecord<>(topic, key, value);
    }

    private void note(Exception error) {
        if (error != null) {
            failure.compareAndSet(null, error);
        }
        acknowledged.increment();
    }

    private void finish(long count) throws Exception {
        producer.flush();
        if (failure.get() != null) {
            throw failure.get();
        }
        if (acknowledged.sum() != count) {
            throw new IllegalStateException(
                    acknowledged.sum() + " of " + count + " records were acknowledged");
        }
    }

    private static byte[][] pieces(String path, int size) throws IOException {
        byte[] all = Files.readAllBytes(Path.of(path));
        byte[][] pieces = new byte[all.length / size][];
        for (int i = 0; i < pieces.length; i++) {
            pieces[i] = Arrays.copyOfRange(all, i * size, (i + 1) * size);
        }
        return pieces;
    }

    private int number(String name) {
        return Integer.parseInt(job.get(name));
    }

    private double seconds(String name) {
        return Double.parseDouble(job.get(name));
    }

    private static double cpuSeconds() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
                        .getProcessCpuTime()
                / 1e9;
    }

    private static String percentiles(long[] ascending) {
        String[] names = {"p50", "p90", "p99", "p99.9", "max"};
        double[] percents = {50, 90, 99, 99.9, 100};
        StringBuilder text = new StringBuilder("{");
        for (int i = 0; i < names.length; i++) {
            int rank = Math.max(1, (int) Math.ceil(ascending.length * percents[i] / 100));
            text.append(i == 0 ? "" : ", ")
                    .append(String.format(
                            Locale.ROOT, "\"%s\": %.6f", names[i], ascending[rank - 1] / 1e6));
        }
        return text.append("}").toString();
    }

    private static String figures(
            long records, double wall, double cpu, long sent, String latencies, double call) {
        return String.format(
                Locale.ROOT,
                "{\"records\": %d, \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"sent\": %d,"
                        + " \"latency_ms\": %s, \"call_delay_ms\": %.6f}",
                records, wall, cpu, sent, latencies, call);
    }
}
