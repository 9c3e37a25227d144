package rig;

import io.eventuate.common.json.mapper.JSonMapper;
import io.eventuate.tram.messaging.common.MessageImpl;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/** What a consumer that reads uncommitted records sees more than once. */
final class Copies {
  private Copies() {}

  /** The number of records whose ID another record before them has. */
  static int beyondOne() {
    try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(Map.of("bootstrap.servers", Rig.env("RIG_KAFKA")), new StringDeserializer(),
        new StringDeserializer())) {
      List<TopicPartition> all = Stream.of(Rig.ORDERS, Rig.WORK, Rig.REPLIES).flatMap(t -> consumer.partitionsFor(t).stream())
          .map(p -> new TopicPartition(p.topic(), p.partition())).collect(Collectors.toList());
      consumer.assign(all);
      consumer.seekToBeginning(all);
      Map<TopicPartition, Long> ends = consumer.endOffsets(all);
      Set<String> ids = new HashSet<>();
      int copies = 0;
      while (all.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(500))) {
          if (!ids.add(record.topic() + " " + JSonMapper.fromJson(record.value(), MessageImpl.class).getId())) {
            copies++;
          }
        }
      }
      return copies;
    }
  }
}
