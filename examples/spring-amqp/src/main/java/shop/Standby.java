package shop;

import java.time.Duration;
import java.time.Instant;
import org.springframework.amqp.core.AmqpAdmin;
import org.springframework.amqp.rabbit.listener.RabbitListenerEndpointRegistry;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.scheduling.annotation.Scheduled;
import org.springframework.stereotype.Component;

/** While no process of the gray version is there, one of the others handles its messages, after a while. */
@Component
class Standby {
  private final AmqpAdmin broker;
  private final RabbitListenerEndpointRegistry listeners;
  private final boolean isGray;
  private final Duration after;
  private Instant absentSince;

  Standby(
      AmqpAdmin broker,
      RabbitListenerEndpointRegistry listeners,
      @Value("${gray.enabled}") boolean isGray,
      @Value("${gray.standby-after}") Duration after) {
    this.broker = broker;
    this.listeners = listeners;
    this.isGray = isGray;
    this.after = after;
  }

  @Scheduled(fixedDelay = 500)
  void look() {
    if (isGray) {
      return;
    }
    var standby = listeners.getListenerContainer("standby");
    var members = broker.getQueueInfo("report.gray.members");
    if (members == null) {
      // Not known is not absent.
      absentSince = null;
    } else if (members.getConsumerCount() > 0) {
      absentSince = null;
      standby.stop();
    } else if (absentSince == null) {
      absentSince = Instant.now();
    } else if (!standby.isRunning() && Instant.now().isAfter(absentSince.plus(after))) {
      standby.start();
    }
  }
}
