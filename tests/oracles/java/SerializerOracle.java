import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.UUID;
import org.apache.kafka.common.serialization.BooleanSerializer;
import org.apache.kafka.common.serialization.DoubleSerializer;
import org.apache.kafka.common.serialization.FloatSerializer;
import org.apache.kafka.common.serialization.IntegerSerializer;
import org.apache.kafka.common.serialization.LongSerializer;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.serialization.ShortSerializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.serialization.UUIDSerializer;

/** Asks Kafka's own serializers for the bytes of values made up here, and prints JSON. */
public final class SerializerOracle {
    private static final List<String> lines = new ArrayList<>();

    private static <T> void ask(String name, Serializer<T> serializer, List<T> values) {
        for (T value : values) {
            String hex = HexFormat.of().formatHex(serializer.serialize("topic", value));
            // As text in hex: the reader makes the same value of it, whatever JSON makes of numbers.
            String text = value instanceof Double d ? Double.toHexString(d)
                    : value instanceof Float f ? Float.toHexString(f) : value.toString();
            String quoted = HexFormat.of().formatHex(text.getBytes(StandardCharsets.UTF_8));
            lines.add("  [\"" + name + "\", \"" + quoted + "\", \"" + hex + "\"]");
        }
    }

    public static void main(String[] arguments) {
        ask("short", new ShortSerializer(),
                List.of((short) 0, (short) 1, (short) -1, (short) 258, Short.MAX_VALUE, Short.MIN_VALUE));
        ask("integer", new IntegerSerializer(),
                List.of(0, 1, -1, 16909060, Integer.MAX_VALUE, Integer.MIN_VALUE));
        ask("long", new LongSerializer(),
                List.of(0L, 1L, -1L, 72623859790382856L, Long.MAX_VALUE, Long.MIN_VALUE));
        ask("float", new FloatSerializer(),
                List.of(0f, -0f, 1.5f, 0.1f, -3.25e-20f, Float.MAX_VALUE, Float.MIN_VALUE, Float.NaN,
                        Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY));
        ask("double", new DoubleSerializer(),
                List.of(0d, -0d, 1.5, 0.1, -3.25e-200, Double.MAX_VALUE, Double.MIN_VALUE, Double.NaN,
                        Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY));
        ask("boolean", new BooleanSerializer(), List.of(true, false));
        ask("uuid", new UUIDSerializer(),
                List.of(new UUID(0, 0), new UUID(-1, -1),
                        UUID.fromString("123e4567-E89B-12d3-a456-426614174000")));
        ask("string", new StringSerializer(), List.of("", "abc", "grüße", "キー", "😀"));
        System.out.println("[\n" + String.join(",\n", lines) + "\n]");
    }
}
