import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.StringReader;
import java.util.Base64;
import java.util.Properties;
import java.util.TreeMap;

import static java.nio.charset.StandardCharsets.UTF_8;

/** Reads texts, one in Base64 on each line, as java.util.Properties; answers a line for each. */
public class ReadProperties {
    public static void main(String[] arguments) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        for (String line; (line = lines.readLine()) != null; ) {
            var text = new String(Base64.getDecoder().decode(line), UTF_8);
            var properties = new Properties();
            var answer = new StringBuilder();
            try {
                properties.load(new StringReader(text));
                for (var entry : new TreeMap<Object, Object>(properties).entrySet()) {
                    answer.append(' ').append(encoded(entry.getKey()));
                    answer.append('=').append(encoded(entry.getValue()));
                }
            } catch (IllegalArgumentException error) {
                answer.append(" malformed");
            }
            System.out.println(answer.toString().strip());
        }
    }

    private static String encoded(Object text) {
        return "'" + Base64.getEncoder().encodeToString(((String) text).getBytes(UTF_8)) + "'";
    }
}
