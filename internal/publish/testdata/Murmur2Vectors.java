// Prints the table murmur2.txt, from Kafka's own class:
//   java -cp "KAFKA/libs/*" Murmur2Vectors.java > murmur2.txt

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.apache.kafka.common.utils.Utils;

public class Murmur2Vectors {
  static String hex(byte[] bytes) {
    StringBuilder s = new StringBuilder();
    for (byte b : bytes) s.append(String.format("%02x", b));
    return s.toString();
  }

  public static void main(String[] args) {
    Random random = new Random(1);
    List<byte[]> keys = new ArrayList<>();
    keys.add(new byte[0]);
    for (int n = 1; n <= 20; n++) {
      for (int i = 0; i < 4; i++) {
        byte[] key = new byte[n];
        random.nextBytes(key);
        keys.add(key);
      }
    }
    for (String s : new String[] {
      "21", "foobar", "a-little-bit-long-string", "a-little-bit-longer-string",
      "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", "order-1", "order-1000",
      "Grüße", "日本語のキー", "😀", "\u0000", "00000000-0000-4000-8000-000000000001",
    }) keys.add(s.getBytes(StandardCharsets.UTF_8));
    byte[] ones = new byte[16];
    Arrays.fill(ones, (byte) 0xff);
    keys.add(ones);
    byte[] big = new byte[1000];
    random.nextBytes(big);
    keys.add(big);
    System.out.println("# hex key, Utils.murmur2 as a signed int, Utils.toPositive(it) % 12; from kafka-clients");
    for (byte[] key : keys) {
      int hash = Utils.murmur2(key);
      System.out.println("\"" + hex(key) + "\" " + hash + " " + Utils.toPositive(hash) % 12);
    }
  }
}
