package shop;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.adapter.RecordFilterStrategy;

/**
 * Consumes orders as two groups, report and report.gray, each of which handles the messages of its versions. What it reads on its standard
 * input it publishes: a tag or `-`, a lane or `-`, a text.
 */
@SpringBootApplication
public class ReportApp {
  private static final String TOPIC = "orders";

  public static void main(String[] args) throws Exception {
    var context = SpringApplication.run(ReportApp.class, args);
    var template = context.getBean(KafkaTemplate.class);
    var input = new BufferedReader(new InputStreamReader(System.in, UTF_8));
    for (String line; (line = input.readLine()) != null; ) {
      var words = line.split(" ", 3);
      // In a web service: these headers of the request that is being handled, and its baggage.
      template.send(record(words[2], Map.of("gray", words[0], "gray-lane", words[1]))).get();
    }
    context.close();
  }

  /** The release context of a request goes with what is sent for it. */
  static ProducerRecord<String, String> record(String text, Map<String, String> request) {
    var record = new ProducerRecord<String, String>(TOPIC, text);
    for (var name : new String[] {"gray", "gray-lane", "baggage"}) {
      var value = request.getOrDefault(name, "-");
      if (!value.equals("-")) {
        record.headers().add(name, value.getBytes(UTF_8));
      }
    }
    return record;
  }

  /** What is filtered out counts as handled by this group: it is the other one's. */
  @Bean
  static RecordFilterStrategy<String, String> lane(
      @Value("${gray.enabled}") boolean gray, @Value("${gray.split}") boolean split) {
    return record -> split && isGray(record) != gray;
  }

  static boolean isGray(ConsumerRecord<?, ?> record) {
    var tag = record.headers().lastHeader("gray");
    return tag != null && "GRAY".equals(new String(tag.value(), UTF_8));
  }

  @KafkaListener(topics = TOPIC, groupId = "#{${gray.enabled} ? 'report.gray' : 'report'}", filter = "lane")
  void handle(ConsumerRecord<String, String> record) {
    System.out.println("handled " + record.value());
  }
}
