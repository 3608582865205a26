-- One kind of request per run; the result is one line of JSON that begins with RESULT.
-- Arguments: METHOD TYPE SIZE CLOSE, where TYPE and SIZE are of the body ("-" and 0: none) and CLOSE is 0 or 1.
function init(args)
  local method, kind, size, close = args[1], args[2], tonumber(args[3]), args[4]
  wrk.method = method
  wrk.headers["userNo"] = "U0001"
  if size > 0 then
    wrk.headers["Content-Type"] = kind
    if kind == "application/json" then
      local frame = '{"text":""}'
      wrk.body = '{"text":"' .. string.rep("x", size - #frame) .. '"}'
    else
      wrk.body = string.rep("x", size)
    end
  end
  if close == "1" then wrk.headers["Connection"] = "close" end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"micros":%d,"bytes":%d,"p50":%d,"p99":%d,"p999":%d,"failed":%d,"unexpected":%d}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    e.connect + e.read + e.write + e.timeout, e.status))
end
