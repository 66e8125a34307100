import java.util.Map;
import java.util.Properties;
import java.util.TreeSet;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Prints, tab separated, the metrics that Kafka's producer has once it has sent a record: group, name, tags, meaning.
 *
 * java -cp kafka-clients-4.3.1.jar:slf4j-api.jar DumpMetrics.java localhost:9092 > kafka_4_3_metrics.tsv
 */
public class DumpMetrics {
    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        properties.put("transactional.id", "dump-metrics");
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>("dump-metrics", new byte[1])).get();
            producer.commitTransaction();
            TreeSet<String> lines = new TreeSet<>();
            for (Map.Entry<MetricName, ? extends Metric> entry : producer.metrics().entrySet()) {
                MetricName name = entry.getKey();
                lines.add(name.group() + "\t" + name.name() + "\t" + String.join(",", new TreeSet<>(name.tags().keySet())) + "\t" + name.description());
            }
            lines.forEach(System.out::println);
        }
    }
}
