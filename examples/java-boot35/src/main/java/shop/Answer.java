package shop;

/** What every service of the shop answers. */
public record Answer<T>(int code, String msg, T data, boolean success, boolean fail) {
    public static <T> Answer<T> of(T data) {
        return new Answer<>(200, "成功！", data, true, false);
    }
}
