package shop.order;

import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.cloud.client.loadbalancer.LoadBalanced;
import org.springframework.cloud.openfeign.EnableFeignClients;
import org.springframework.context.annotation.Bean;
import org.springframework.scheduling.annotation.EnableAsync;
import org.springframework.web.client.RestClient;
import org.springframework.web.client.RestTemplate;

/** Orders; asks user-app whose they are. */
@SpringBootApplication
@EnableFeignClients
@EnableAsync
public class OrderApp {
    public static void main(String[] args) {
        new SpringApplicationBuilder(OrderApp.class).properties("spring.application.name=order-app").run(args);
    }

    @Bean
    @LoadBalanced
    RestClient.Builder restClients() {
        return RestClient.builder();
    }

    @Bean
    @LoadBalanced
    RestTemplate restTemplate() {
        return new RestTemplate();
    }
}
