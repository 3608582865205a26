package shop.order;

import org.springframework.cloud.openfeign.FeignClient;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import shop.Answer;

@FeignClient("user-app")
interface UserClient {
    @GetMapping("/user/{userNo}")
    Answer<String> user(@PathVariable String userNo);
}
