package gray;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.netflix.eureka.server.EnableEurekaServer;

/** Spring Cloud Netflix's server as it is. */
@SpringBootApplication
@EnableEurekaServer
public class EurekaServer {
    public static void main(String[] arguments) {
        SpringApplication.run(EurekaServer.class, arguments);
    }
}
