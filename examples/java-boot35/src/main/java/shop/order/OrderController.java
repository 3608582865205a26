package shop.order;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.http.HttpStatus;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.server.ResponseStatusException;
import shop.Answer;

@RestController
class OrderController {
    private final Users users;
    private final String stack;
    private final String port;
    private final String version;

    OrderController(
            Users users,
            @Value("${shop.stack}") String stack,
            @Value("${server.port}") String port,
            @Value("${shop.version}") String version) {
        this.users = users;
        this.stack = stack;
        this.port = port;
        this.version = version;
    }

    record Order(String orderNo, String goodsName, String userNo, String port, String metaVersion, String stack, String userName) {}

    /** {@code via} says how user-app is called. */
    @GetMapping("/order/{orderNo}")
    Answer<Order> order(@PathVariable String orderNo, @RequestParam(defaultValue = "feign") String via) {
        String user = switch (via) {
            case "feign" -> users.byFeign("U0001");
            case "rest-client" -> users.byRestClient("U0001");
            case "rest-template" -> users.byRestTemplate("U0001");
            case "async" -> users.later("U0001").join();
            case "pool" -> users.inPool("U0001").join();
            default -> throw new ResponseStatusException(HttpStatus.BAD_REQUEST, "via is feign, rest-client, rest-template, async or pool");
        };
        return Answer.of(new Order(orderNo, "G0001", "U0001", port, version, stack, user));
    }
}
