package shop.order;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.springframework.core.ParameterizedTypeReference;
import org.springframework.scheduling.annotation.Async;
import org.springframework.stereotype.Component;
import org.springframework.web.client.RestClient;
import org.springframework.web.client.RestTemplate;
import shop.Answer;

/** The ways in which Spring services call each other. */
@Component
class Users {
    private final UserClient feign;
    private final RestClient rest;
    private final RestTemplate template;
    // Its threads live longer than any request.
    private final ExecutorService pool = Executors.newFixedThreadPool(2);

    Users(UserClient feign, RestClient.Builder rest, RestTemplate template) {
        this.feign = feign;
        this.rest = rest.baseUrl("http://user-app").build();
        this.template = template;
    }

    String byFeign(String userNo) {
        return feign.user(userNo).data();
    }

    String byRestClient(String userNo) {
        return rest.get().uri("/user/{no}", userNo).retrieve().body(new ParameterizedTypeReference<Answer<String>>() {}).data();
    }

    String byRestTemplate(String userNo) {
        return (String) template.getForObject("http://user-app/user/{no}", Answer.class, userNo).data();
    }

    @Async
    CompletableFuture<String> later(String userNo) {
        return CompletableFuture.completedFuture(byFeign(userNo));
    }

    CompletableFuture<String> inPool(String userNo) {
        return CompletableFuture.supplyAsync(() -> byRestClient(userNo), pool);
    }
}
