import java.util.TreeMap;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.InvalidMetadataException;
import org.apache.kafka.common.protocol.Errors;

/**
 * Prints, tab separated, the error codes and the producer's keys that kafka-clients has.
 *
 * java -cp kafka-clients-4.3.1.jar:slf4j-api.jar DumpTables.java > kafka_4_3_tables.tsv
 */
public class DumpTables {
    public static void main(String[] arguments) {
        for (Errors error : Errors.values()) {
            boolean retriable = error.exception() instanceof RetriableException;
            boolean refresh = error.exception() instanceof InvalidMetadataException;
            System.out.println("error\t" + error.code() + "\t" + error.name() + "\t" + retriable + "\t" + refresh);
        }
        for (ConfigDef.ConfigKey key : new TreeMap<>(ProducerConfig.configDef().configKeys()).values()) {
            Object fallback = key.defaultValue == ConfigDef.NO_DEFAULT_VALUE ? "<required>" : key.defaultValue;
            System.out.println("key\t" + key.name + "\t" + key.type + "\t" + fallback + "\t" + key.validator);
        }
    }
}
