import com.xxl.job.core.biz.client.ExecutorBizClient;
import com.xxl.job.core.biz.model.IdleBeatParam;
import com.xxl.job.core.biz.model.KillParam;
import com.xxl.job.core.biz.model.LogParam;
import com.xxl.job.core.biz.model.LogResult;
import com.xxl.job.core.biz.model.ReturnT;
import com.xxl.job.core.biz.model.TriggerParam;
import com.xxl.job.core.context.XxlJobHelper;
import com.xxl.job.core.executor.impl.XxlJobSimpleExecutor;
import com.xxl.job.core.handler.annotation.XxlJob;
import java.lang.reflect.Constructor;
import java.util.List;

/** What xxl-job-core does itself: asks an executor as its scheduler does, or is an executor. */
public class Peer {
    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "ask" -> ask(args[1], args[2]);
            case "execute" -> execute(args[1], args[2], args[3], Integer.parseInt(args[4]), args[5]);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    /** Every request of the protocol; one line for each answer. */
    static void ask(String address, String token) throws Exception {
        ExecutorBizClient client = client(address, token);
        say("beat", client.beat());
        say("idleBeat", client.idleBeat(new IdleBeatParam(1)));
        say("run", client.run(trigger(1, 101, "echo", "from Java", "BEAN")));
        LogResult log = null;
        for (int i = 0; i < 300 && (log == null || !log.isEnd()); i++) {
            Thread.sleep(50);
            log = client.log(new LogParam(1764400000000L, 101, 1)).getContent();
        }
        System.out.println("log " + log.getFromLineNum() + " " + log.getToLineNum() + " " + log.isEnd() + " "
                + log.getLogContent().replace("\n", "|"));
        say("repeat", client.run(trigger(1, 101, "echo", "from Java", "BEAN")));
        say("hang", client.run(trigger(2, 102, "hang", "", "BEAN")));
        say("busy", client.idleBeat(new IdleBeatParam(2)));
        say("kill", client.kill(new KillParam(2)));
        say("glue", client.run(trigger(3, 103, "echo", "", "GLUE_SHELL")));
        say("token", client(address, "wrong").beat());
    }

    /** 2.4.1 has no limit to give, 3.2.0 wants one. */
    static ExecutorBizClient client(String address, String token) throws Exception {
        for (Constructor<?> made : ExecutorBizClient.class.getConstructors()) {
            if (made.getParameterCount() == 3) {
                return (ExecutorBizClient) made.newInstance(address, token, 3);
            } else if (made.getParameterCount() == 2) {
                return (ExecutorBizClient) made.newInstance(address, token);
            }
        }
        throw new IllegalStateException("no constructor");
    }

    static TriggerParam trigger(int job, long log, String handler, String params, String type) {
        TriggerParam trigger = new TriggerParam();
        trigger.setJobId(job);
        trigger.setLogId(log);
        trigger.setLogDateTime(1764400000000L);
        trigger.setExecutorHandler(handler);
        trigger.setExecutorParams(params);
        trigger.setExecutorBlockStrategy("SERIAL_EXECUTION");
        trigger.setGlueType(type);
        trigger.setGlueSource("touch /tmp/never");
        trigger.setBroadcastTotal(1);
        return trigger;
    }

    static void say(String what, ReturnT<String> answer) {
        System.out.println(what + " " + answer.getCode() + " " + answer.getMsg());
    }

    /** An executor of the job `echo`, until it is killed. */
    static void execute(String scheduler, String token, String app, int port, String logs) throws Exception {
        XxlJobSimpleExecutor executor = new XxlJobSimpleExecutor();
        executor.setAdminAddresses(scheduler);
        executor.setAccessToken(token);
        executor.setAppname(app);
        executor.setIp("127.0.0.1");
        executor.setPort(port);
        executor.setLogPath(logs);
        executor.setLogRetentionDays(3);
        executor.setXxlJobBeanList(List.of(new Jobs()));
        executor.start();
        Thread.currentThread().join();
    }

    public static class Jobs {
        @XxlJob("echo")
        public void echo() {
            XxlJobHelper.log("Java runs it");
            XxlJobHelper.handleSuccess("java " + XxlJobHelper.getJobParam());
        }
    }
}
