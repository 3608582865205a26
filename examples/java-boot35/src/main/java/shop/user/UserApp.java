package shop.user;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RestController;
import shop.Answer;

/** Says who a user is, and which instance it was that said so. */
@SpringBootApplication
@RestController
public class UserApp {
    private final String own;

    UserApp(
            @Value("${shop.stack}") String stack, @Value("${server.port}") int port, @Value("${shop.version}") String version) {
        own = "%s - port=%d - mateVersion=%s".formatted(stack, port, version);
    }

    public static void main(String[] args) {
        new SpringApplicationBuilder(UserApp.class).properties("spring.application.name=user-app").run(args);
    }

    @GetMapping("/user/{userNo}")
    Answer<String> user(@PathVariable String userNo) {
        return Answer.of(userNo + " of " + own);
    }
}
