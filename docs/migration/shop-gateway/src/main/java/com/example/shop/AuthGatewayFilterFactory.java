package com.example.shop;

import org.springframework.cloud.gateway.filter.GatewayFilter;
import org.springframework.cloud.gateway.filter.factory.AbstractGatewayFilterFactory;
import org.springframework.stereotype.Component;

@Component
public class AuthGatewayFilterFactory extends AbstractGatewayFilterFactory<AuthGatewayFilterFactory.Config> {
    @Override
    public GatewayFilter apply(Config config) {
        return (exchange, chain) -> Tokens.verify(exchange, config.getScope()).then(chain.filter(exchange));
    }

    public static class Config {
        private String scope;

        public String getScope() {
            return scope;
        }
    }
}
