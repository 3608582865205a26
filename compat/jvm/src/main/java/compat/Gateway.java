package compat;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.ConfigurableApplicationContext;

/** Spring Cloud Gateway with the document that is posted, in a new context each time: Gateway CONTROL_PORT GATEWAY_PORT. */
@SpringBootApplication
public class Gateway {
    private static ConfigurableApplicationContext running;

    public static void main(String[] args) throws IOException {
        var control = new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(args[0]));
        var server = HttpServer.create(control, 0);
        server.createContext("/", exchange -> answer(exchange, args[1]));
        server.start();
    }

    private static void answer(HttpExchange exchange, String port) throws IOException {
        var status = 200;
        var text = "started";
        try {
            start(exchange.getRequestBody().readAllBytes(), port);
        } catch (Throwable failed) {
            status = 500;
            text = said(failed);
        }
        var body = text.getBytes("UTF-8");
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    private static void start(byte[] document, String port) throws IOException {
        if (running != null) running.close();
        running = null;
        var directory = Files.createTempDirectory("compat");
        Files.write(directory.resolve("application.yml"), document);
        try {
            running = SpringApplication.run(Gateway.class,
                "--spring.config.location=" + directory.toUri(), "--server.address=127.0.0.1", "--server.port=" + port,
                "--spring.main.banner-mode=off", "--logging.level.root=error", "--spring.cloud.loadbalancer.cache.enabled=false");
        } finally {
            Files.delete(directory.resolve("application.yml"));
            Files.delete(directory);
        }
    }

    /** The message of the first cause, in one line. */
    private static String said(Throwable failed) {
        while (failed.getCause() != null) failed = failed.getCause();
        return (failed.getClass().getSimpleName() + ": " + failed.getMessage()).lines().findFirst().orElse("");
    }
}
