import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.StringJoiner;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.Utils;

/**
 * Prints what the Java client makes of some hundred keys: murmur2_vectors.json.
 *
 * <p>java -cp 'DIR-OF-KAFKA-JARS/*' Murmur2Vectors.java > murmur2_vectors.json
 */
public class Murmur2Vectors {
    static final int[] PARTITION_COUNTS = {1, 3, 12, 100, 1000};

    public static void main(String[] arguments) {
        StringJoiner rows = new StringJoiner(",\n", "[\n", "\n]");
        for (byte[] key : keys()) {
            StringJoiner partitions = new StringJoiner(", ", "{", "}");
            for (int count : PARTITION_COUNTS) {
                partitions.add("\"" + count + "\": " + BuiltInPartitioner.partitionForKey(key, count));
            }
            rows.add(
                    String.format(
                            "{\"key\": \"%s\", \"murmur2\": %d, \"partitions\": %s}",
                            HexFormat.of().formatHex(key), Utils.murmur2(key), partitions));
        }
        System.out.println(rows);
    }

    /** Every length to 67, the same bytes low and high, what real keys look like, and a few long ones. */
    static List<byte[]> keys() {
        Random random = new Random(20240607);
        List<byte[]> keys = new ArrayList<>();
        for (int length = 0; length <= 67; length++) {
            keys.add(bytes(random, length));
        }
        for (int length = 1; length <= 16; length++) {
            keys.add(filled(length, (byte) 0));
            keys.add(filled(length, (byte) 0x7f));
            keys.add(filled(length, (byte) 0x80));
            keys.add(filled(length, (byte) 0xff));
        }
        for (int i = 0; i < 100; i++) {
            keys.add(text(HexFormat.of().formatHex(bytes(random, 16))));
        }
        for (String key : new String[] {"a", "21", "foobar", "EC2FA3B0-8A5C-4E0E-93C2-FA0C7B7B1A11", "点击"}) {
            keys.add(text(key));
        }
        for (int length : new int[] {100, 255, 256, 257, 1000, 1001, 4096}) {
            keys.add(bytes(random, length));
        }
        return keys;
    }

    static byte[] bytes(Random random, int length) {
        byte[] made = new byte[length];
        random.nextBytes(made);
        return made;
    }

    static byte[] filled(int length, byte value) {
        byte[] made = new byte[length];
        java.util.Arrays.fill(made, value);
        return made;
    }

    static byte[] text(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
