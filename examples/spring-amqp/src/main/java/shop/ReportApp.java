package shop;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Map;
import org.springframework.amqp.core.BindingBuilder;
import org.springframework.amqp.core.Declarable;
import org.springframework.amqp.core.Declarables;
import org.springframework.amqp.core.ExchangeBuilder;
import org.springframework.amqp.core.FanoutExchange;
import org.springframework.amqp.core.HeadersExchange;
import org.springframework.amqp.core.MessagePostProcessor;
import org.springframework.amqp.core.Queue;
import org.springframework.amqp.core.TopicExchange;
import org.springframework.amqp.rabbit.annotation.RabbitListener;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.scheduling.annotation.EnableScheduling;

/**
 * Consumes orders: the queue report, and that of the gray version, report.gray. What it reads on its standard input it publishes: a tag or
 * `-`, a lane or `-`, a text.
 */
@SpringBootApplication
@EnableScheduling
public class ReportApp {
  private static final String EXCHANGE = "orders";
  private static final String KEY = "order.viewed";
  private static final String SERVICE = "report-app";

  public static void main(String[] args) throws Exception {
    var context = SpringApplication.run(ReportApp.class, args);
    var template = context.getBean(RabbitTemplate.class);
    var versions = context.getEnvironment();
    System.out.println("ready");
    var input = new BufferedReader(new InputStreamReader(System.in, UTF_8));
    for (String line; (line = input.readLine()) != null; ) {
      var words = line.split(" ", 3);
      // In a web service: these headers of the request that is being handled, and its baggage.
      var request = Map.of("gray", words[0], "gray-lane", words[1]);
      var lane = lane(request, versions.getProperty("gray.prod-version"), versions.getProperty("gray.gray-version"));
      template.convertAndSend(EXCHANGE, KEY, words[2], lane);
    }
    context.close();
  }

  /** The release context of a request goes with what is sent for it, and tells the broker which queue is meant. */
  static MessagePostProcessor lane(Map<String, String> request, String prod, String gray) {
    return message -> {
      var headers = message.getMessageProperties();
      for (var name : new String[] {"gray", "gray-lane", "baggage"}) {
        var value = request.getOrDefault(name, "-");
        if (!value.equals("-")) {
          headers.setHeader(name, value);
        }
      }
      // REVISION;LANE;FLAGS;SERVICE=SELECTOR|SELECTOR;...;*=SELECTOR
      var lane = request.getOrDefault("gray-lane", "-").split(";");
      for (int place = 3; place < lane.length; place++) {
        var choice = lane[place].split("=", 2);
        var first = choice[1].split("\\|")[0];
        if (first.startsWith("version:") && !first.equals("version:" + prod)) {
          headers.setHeader(choice[0].equals("*") ? "gray-to" : "gray-to-" + choice[0], first);
        }
      }
      if (lane.length < 4 && "GRAY".equals(request.get("gray"))) {
        headers.setHeader("gray-to", "version:" + gray);
      }
      return message;
    };
  }

  /** The exchange orders leads to report by way of a split, which the broker makes by a header. */
  @Bean
  Declarables queues(@Value("${gray.enabled}") boolean gray, @Value("${gray.gray-version}") String version) {
    TopicExchange orders = ExchangeBuilder.topicExchange(EXCHANGE).durable(true).build();
    FanoutExchange rest = ExchangeBuilder.fanoutExchange("report.baseline").durable(true).build();
    HeadersExchange split =
        ExchangeBuilder.headersExchange("report.gray").durable(true).alternate("report.baseline").build();
    var ordinary = new Queue("report");
    var ofGray = new Queue("report.gray");
    var all = new java.util.ArrayList<Declarable>();
    all.addAll(java.util.List.of(orders, rest, split, ordinary, ofGray, new Queue("report.gray.members")));
    all.add(BindingBuilder.bind(ordinary).to(rest));
    all.add(BindingBuilder.bind(split).to(orders).with(KEY));
    if (gray) {
      for (var name : new String[] {"gray-to", "gray-to-" + SERVICE}) {
        all.add(BindingBuilder.bind(ofGray).to(split).whereAny(Map.of(name, "version:" + version)).match());
      }
    }
    return new Declarables(all);
  }

  @RabbitListener(id = "baseline", queues = "report", autoStartup = "#{!${gray.enabled}}")
  void handle(String text) {
    System.out.println("handled " + text);
  }

  /** Its subscription to report.gray.members says that a process of the gray version is there. */
  @RabbitListener(id = "gray", queues = {"report.gray", "report.gray.members"}, autoStartup = "${gray.enabled}")
  void handleGray(String text) {
    System.out.println("handled " + text);
  }

  /** Started and stopped by {@link Standby}. */
  @RabbitListener(id = "standby", queues = "report.gray", autoStartup = "false")
  void standIn(String text) {
    System.out.println("stood in " + text);
  }
}
