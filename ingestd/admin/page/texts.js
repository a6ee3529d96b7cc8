// The page's words. A text's key is its English; `zh` has the Chinese. What the daemon says of itself comes in both.

const zh = {
  // the frame
  "Overview": "概览", "Sources": "来源", "Test click": "测试点击", "Explain": "解释", "Conservation": "收支核对",
  "All instances": "全部实例", "Instance": "实例", "Language": "语言", "Pages": "页面", "Keys": "快捷键",
  "no answer": "无应答", "Asking the daemon …": "正在连接 …", "of {known} instances {count} answer": "{known} 个实例中有 {count} 个应答",
  "What it means": "含义", "What to do": "怎么办", "since {time}": "已持续 {time}", "more": "更多", "{count} more findings": "另有 {count} 条",
  "stored mode": "stored 模式", "queued mode": "queued 模式", "version {version}, up {time}": "版本 {version}，已运行 {time}",
  "The daemon does not answer: {reason}": "守护进程没有应答：{reason}",
  "What is shown is from {time}; trying again.": "显示的是 {time} 的数据；正在重试。",
  "keys.help": "1–5 切换页面，/ 搜索，↑ ↓ 选择一行，Enter 打开，Esc 返回，? 显示本说明。",
  // units
  "s": "秒", "min": "分钟", "h": "小时", "days": "天", "just now": "刚刚", "{time} ago": "{time}前", "never": "从未",
  // charts
  "Clicks arriving a second, by source": "每秒到达点击数（按来源）", "Refused a second, by reason": "每秒被拒绝数（按原因）",
  "Time to reply": "应答时间", "Buffer and spool against their caps": "缓冲与 spool 占上限的比例", "Kafka behind": "Kafka 落后",
  "others": "其他", "all": "合计", "half within": "p50", "99 of 100 within": "p99", "buffer": "内存缓冲", "spool": "spool",
  "oldest not delivered": "最早未投递", "Nothing was refused in the last hour.": "最近一小时没有拒绝任何请求。",
  "In queued mode replies do not wait for the disk; there is nothing to measure.": "queued 模式下应答不等待磁盘，无需测量。",
  "No click in the last hour.": "最近一小时没有点击。", "{used} of {cap}": "{used} / {cap}",
  "The last hour, in the daemon's memory ({size}); it ends with the process.": "最近一小时，保存在守护进程内存中（{size}）；重启后重新开始。",
  "time": "时间",
  // sources
  "Search name, path or platform": "搜索名称、路径或平台", "Source": "来源", "Platform": "平台", "Path": "路径",
  "Clicks/s": "点击/秒", "Last click": "最近点击", "Last hour": "最近一小时", "Macros left in": "未替换宏",
  "Bad signatures": "签名错误", "Repeats": "重复", "Refused": "被拒绝",
  "{shown} of {all} sources": "{all} 个来源中的 {shown} 个", "No source matches.": "没有符合的来源。",
  "removed from the configuration": "已从配置中移除", "figures of the last {time}": "最近 {time} 的数据",
  "{count} a click": "每次 {count}",
  // a source
  "back to the sources": "返回来源列表", "Tracking link": "监测链接", "Copy": "复制", "Copied": "已复制",
  "Route (app or campaign) put into the link": "链接中的路由（应用或计划）",
  "Scheme and host are not configured (ingest.public_base): put yours in place of <your-domain>.": "未配置协议和域名（ingest.public_base）：请把 <your-domain> 换成您的域名。",
  "What check says": "check 的结论", "Nothing to say against this source.": "没有发现问题。", "Notes on the link": "链接注意事项",
  "Not confirmed by the platform's documents": "平台文档尚未证实", "Flags over the last hour": "最近一小时的标记",
  "Last clicks": "最近的点击", "Wait for a test click": "等待测试点击",
  "No click of this source in the newest 8 MiB of {file}.": "{file} 最新的 8 MiB 中没有该来源的点击。",
  "There is no file to read them from; new clicks are shown under Test click.": "没有可读取的文件；新的点击会显示在“测试点击”中。",
  "reply": "应答", "signature": "签名", "verified": "校验", "not verified": "不校验", "none": "无", "type": "类型", "methods": "方法",
  "received": "已接收", "rejected": "已拒绝", "unstored": "未落盘", "stored": "已存储", "Since the start": "自启动以来",
  "flags": "标记", "credentials are masked": "凭证已打码", "received in this stretch": "该时段接收", "no flags": "无标记",
  // test click
  "Choose a source": "选择来源", "Waiting for a click of {source} …": "正在等待 {source} 的点击 …",
  "Press the test button in the platform's console, or open the link. Each click appears here as it is stored.": "请在平台后台点击“测试/联调”按钮，或直接打开链接。点击落盘后立即显示在这里。",
  "arrived": "到达", "waiting for {time}": "已等待 {time}", "{count} under way": "{count} 条处理中", "in the files": "文件中", "delivered to Kafka": "已投递到 Kafka", "Stop": "停止", "Start": "开始",
  "All that this platform needs has arrived.": "该平台需要的字段都已到达。",
  "Missing for this platform: {names}": "该平台还缺少：{names}", "The signature is {result}.": "签名结果：{result}。",
  "field": "字段", "value": "值", "state": "状态", "role": "用途", "macro": "宏",
  "ok": "正常", "macro left in": "宏未替换", "empty": "空值", "missing": "缺失", "extra": "链接外字段", "needed": "必需",
  "Meanwhile {count} requests came for a path that no source takes: look at the path in the link.": "期间有 {count} 个请求的路径不属于任何来源：请检查链接中的路径。",
  "Meanwhile {count} requests to this source were refused: {reasons}.": "期间该来源有 {count} 个请求被拒绝：{reasons}。",
  "{count} more clicks were not shown: more came than one reader is given.": "另有 {count} 次点击未显示：到来的多于单个读者的限额。",
  "The stream ended; starting again.": "连接已断开，正在重连。", "Clicks: {count}": "点击：{count}",
  "As many pages as are allowed are waiting for clicks already; close one.": "等待点击的页面已达上限，请关闭一个。",
  // roles
  "event_time": "事件时间", "click_id": "点击 ID", "kafka_key": "Kafka key", "address": "用户地址", "user_agent": "User-Agent",
  "credential": "凭证", "privacy_drop": "隐私：丢弃", "privacy_sha256": "隐私：sha256", "privacy_hmac": "隐私：hmac",
  "privacy_truncate_ip": "隐私：截断 IP",
  // explain
  "Paste a URL, a line of a log, a whole request, or a body": "粘贴 URL、日志行、完整请求或请求体",
  "What it is": "内容类型", "a URL or a whole request": "URL 或完整请求", "a body for {source}": "{source} 的请求体",
  "a body for": "请求体，来源为", "Nothing is stored or counted.": "不会存储或计数。", "What was pasted": "粘贴的内容",
  "What becomes of it": "处理结果", "refused, {status} ({reason})": "被拒绝，{status}（{reason}）", "source": "来源", "route": "路由",
  "event time": "事件时间", "repeats are known by": "去重依据", "Parameters": "参数", "The event": "事件", "event {number}": "事件 {number}",
  "Mistakes": "问题", "No mistake was found in the URL.": "URL 中没有发现问题。", "The chains are whole.": "链完整。", "The chains are too long to be checked here; ingestd audit does.": "链太长，此处不检查；请用 ingestd audit。", "compared over": "签名内容", "key": "密钥", "from": "来自",
  "says nothing": "无意义的值", "event time ": "事件时间", "Kafka key": "Kafka key", "click id": "点击 ID", "user's address": "用户地址",
  "user agent": "User-Agent", "normal": "正常", "masked": "已打码", "not shown": "未显示", "note": "备注", "dropped": "已丢弃",
  // mistakes
  "m.scheme": "协议有误{write}。", "m.host": "域名与配置的不同{write}。", "m.path": "路径有误{write}。", "m.token": "缺少 token。",
  "m.character": "有必须转义的字符{write}。", "m.percent": "单独的 % 应写成 %25。", "m.fragment": "# 之后的内容不会发送。",
  "m.html": "有 &amp;：是从 HTML 复制的{write}。", "m.question": "? 与 & 用错{write}。", "m.missing": "缺少参数 {param}{append}。",
  "m.name": "参数名 {param} 写错了{write}。", "m.repeated": "{param} 出现了两次。", "m.last": "{param} 必须是最后一个参数。",
  "m.misspelt": "{param}：宏写错了{write}。", "m.escaped": "{param}：宏被转义，平台不会替换{write}。", "m.foreign": "{param}：这是别的平台的宏{write}。",
  "m.unknown": "{param}：该平台没有这个宏{write}。", "m.other_parameter": "{param}：这是另一个参数的宏{write}。",
  "m.fixed": "{param}：是固定值，每次点击都一样{write}。", "m.empty": "{param}：为空{write}。",
  "m.macro_needed": "{param}：宏未替换，而该平台需要它。", "m.macro": "{param}：宏未替换。", "m.empty_needed": "{param}：值无意义，而该平台需要它。",
  "m.escaped_twice": "{param}：被转义了两次。", "m.not_utf8": "{param}：不是 UTF-8（可能是 GBK）。",
  "m.write": "；应写成 {write}", "m.append": "；请加上 {append}",
  "This is a tracking link, not a click: it is judged as one.": "这是监测链接而不是点击，按链接检查。", "Corrected": "更正后",
  // conservation
  "Every click is somewhere": "每次点击都有去处", "of all instances since their start": "所有实例自启动以来的合计",
  "received = rejected + unstored + stored": "已接收 = 已拒绝 + 未落盘 + 已存储",
  "stored + recovered = delivered + spooled + dead letters + missed": "已存储 + 已恢复 = 已投递 + spool 中 + 死信 + 缺失",
  "it adds up": "相符", "off by {count}": "相差 {count}", "in the spool": "spool 中",
  "dead letters": "死信", "recovered": "已恢复", "nothing yet": "暂无", "Refused for": "拒绝原因", "belonged to no source": "不属于任何来源",
  "Manifests": "清单（manifest）", "file": "文件", "events": "事件", "size": "大小", "made": "生成时间", "number": "序号",
  "removed by retention": "已按保留策略删除", "Finished files: {files}, {size}. Manifests: {manifests}.": "已完成文件：{files} 个，{size}；清单：{manifests} 个。",
  "Files without a manifest yet: {count}.": "尚无清单的文件：{count} 个。", "Last audit": "最近一次审计",
  "No audit has been noted here. Run: ingestd audit": "尚无审计记录。请运行：ingestd audit",
  "all there": "完整", "all there, some repeated": "完整，有重复", "NOT all as it was": "与记录不符",
  "{places} files, {events} events": "{places} 个文件，{events} 个事件", "There is no file sink; manifests of topics are audited with: ingestd audit --topic": "没有文件输出；topic 的清单请用 ingestd audit --topic 审计",
  "being taken": "处理中",
};

// English texts whose key is not the text itself.
const en = {
  "keys.help": "1–5 change the page, / searches, ↑ ↓ choose a row, Enter opens it, Esc goes back, ? shows this.",
  "event_time": "event time", "click_id": "click id", "kafka_key": "Kafka key", "address": "user's address",
  "user_agent": "user agent", "privacy_drop": "privacy: drop", "privacy_sha256": "privacy: sha256",
  "privacy_hmac": "privacy: hmac", "privacy_truncate_ip": "privacy: truncate_ip",
  "half within": "p50", "99 of 100 within": "p99", "extra": "not in the link",
  "m.write": "; write {write}", "m.append": "; add {append}",
};

const KEY = "ingestd.language";
let chosen = localStorage.getItem(KEY) ?? (navigator.languages.find((one) => /^(en|zh)/i.test(one)) ?? "en").slice(0, 2);
document.documentElement.lang = chosen === "zh" ? "zh-CN" : "en";

export const language = () => chosen;

export function choose(other) {
  chosen = other;
  localStorage.setItem(KEY, other);
  document.documentElement.lang = other === "zh" ? "zh-CN" : "en";
}

// The text for a key, with {names} filled in from `values`.
export function t(key, values = {}) {
  const text = (chosen === "zh" ? zh[key] : en[key]) ?? en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// Keys that have no Chinese, for the tests.
export const untranslated = (keys) => keys.filter((key) => !(key in zh));
