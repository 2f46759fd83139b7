// The parts of a MetaTrader 5 terminal that CandlewickFeed.mq5 needs: a market and a clock that commands set, and WebRequest over
// the real network. README.md beside this file lists the commands.

#include "mql5.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <utility>

extern char **environ;

namespace {

struct Bar {
    MqlRates rates;
    bool loaded;
};

struct History {
    std::map<datetime, Bar> bars;
    bool synchronized = true;
    bool shown = true; // if false, there are no bars at the moment
    int portion = 0;   // older bars that are loaded after each request for more than there are
    mutable std::vector<MqlRates> loaded; // what the terminal has of it as of `loaded_at`
    mutable long loaded_at = -1;
};

struct Terminal {
    std::map<std::string, int> digits; // of each symbol
    std::set<std::string> selected;    // symbols in Market Watch
    std::set<std::string> unknown;     // symbols whose digits the terminal does not know yet
    std::set<std::string> custom;      // symbols that the trader made
    std::map<std::string, long> modes; // of the calculation of margin, where it is not that of Forex
    std::map<std::pair<std::string, ENUM_TIMEFRAMES>, History> histories;
    std::set<std::string> allowed; // addresses that WebRequest may call
    std::map<std::string, std::string> inputs;
    std::map<std::string, std::function<void()>> input_readers;
    std::set<std::string> inputs_left; // inputs that the program has not read
    long now = 0;                      // ms since 1970, UTC
    long next_timer = 0, timer = 0;    // ms, 0: none
    long request_takes = 20;           // ms
    int broker_offset = 0;             // s
    long computer_error = 0;           // s by which the computer's clock is wrong
    int max_bars = 100'000;
    int stop_after = -1; // requests until the program has to stop
    int failing_copies = 0; // the number of the next calls of CopyRates that fail
    std::function<void()> before_copy; // happens right before the next CopyRates
    bool connected = true, stopped = false, has_timers = true, errors_as_statuses = false;
    int last_error = 0;
    std::string comment;
    long market_changes = 0; // grows with whatever may change what is loaded
} terminal;

void say(const std::string &kind, const std::string &text) { std::cout << kind << ' ' << text << '\n'; }

template <typename T>
T read_input(const std::string &name, const T &standard) {
    const auto found = terminal.inputs.find(name);
    if (found == terminal.inputs.end()) return standard;
    terminal.inputs_left.erase(name);
    if constexpr (std::is_same_v<T, string>) return found->second;
    else if constexpr (std::is_same_v<T, bool>) return found->second == "true";
    else return static_cast<T>(std::stoi(found->second));
}

// The program's inputs are references to these values, because a program that stays loaded gets new values, too.
template <typename T>
const T &input_value(const std::string &name, const T &standard) {
    static std::map<std::string, T> values;
    T &value = values[name];
    terminal.input_readers[name] = [&value, name, standard] { value = read_input(name, standard); };
    return value;
}
template <typename T>
const T &input_value(const std::string &name, const char *standard) { return input_value<T>(name, T(standard)); }

struct Program {
#include "expert.inc"
};

std::unique_ptr<Program> program;
bool runs = false; // a program that does not run may stay loaded

// --- The market as the terminal knows it ---

const std::vector<MqlRates> &loaded(const History &history) {
    auto &rates = history.loaded;
    if (history.loaded_at == terminal.market_changes) return rates;
    history.loaded_at = terminal.market_changes;
    rates.clear();
    if (!history.shown) return rates;
    for (const auto &[time, bar] : history.bars) if (bar.loaded) rates.push_back(bar.rates);
    const auto most = static_cast<size_t>(terminal.max_bars);
    if (rates.size() > most) rates.erase(rates.begin(), rates.end() - static_cast<long>(most));
    return rates;
}

History &history_of(const string &symbol, ENUM_TIMEFRAMES timeframe) { return terminal.histories[{symbol.utf8(), timeframe}]; }

// Loads older bars, which come only after the call that asked for them.
void request_older(History &history) {
    int left = history.portion;
    if (left > 0) terminal.market_changes++;
    auto first = std::find_if(history.bars.begin(), history.bars.end(), [](const auto &entry) { return entry.second.loaded; });
    while (left-- > 0 && first != history.bars.begin()) (--first)->second.loaded = true;
}

ENUM_TIMEFRAMES timeframe_named(const std::string &name) {
    static const auto timeframes = Program().ALL_TIMEFRAMES;
    for (const ENUM_TIMEFRAMES timeframe : timeframes.values)
        if (EnumToString(timeframe) == string("PERIOD_" + name)) return timeframe;
    throw std::runtime_error("there is no timeframe " + name);
}

} // namespace

string _Symbol;

bool SymbolSelect(const string &symbol, bool) {
    if (terminal.digits.count(symbol.utf8()) == 0) {
        terminal.last_error = ERR_MARKET_UNKNOWN_SYMBOL;
        return false;
    }
    terminal.selected.insert(symbol.utf8());
    return true;
}

int SymbolsTotal(bool) { return static_cast<int>(terminal.selected.size()); }

string SymbolName(int position, bool) { return *std::next(terminal.selected.begin(), position); }

bool SymbolInfoInteger(const string &symbol, ENUM_SYMBOL_INFO_INTEGER property, long &value) {
    if (property == SYMBOL_CUSTOM) {
        value = static_cast<long>(terminal.custom.count(symbol.utf8()));
        return true;
    }
    if (property == SYMBOL_TRADE_CALC_MODE) {
        const auto mode = terminal.modes.find(symbol.utf8());
        value = mode == terminal.modes.end() ? long{SYMBOL_CALC_MODE_FOREX} : mode->second;
        return true;
    }
    if (terminal.unknown.count(symbol.utf8()) != 0) return false;
    value = terminal.digits.at(symbol.utf8());
    return true;
}

long SeriesInfoInteger(const string &symbol, ENUM_TIMEFRAMES timeframe, ENUM_SERIES_INFO_INTEGER property) {
    const History &history = history_of(symbol, timeframe);
    if (property == SERIES_SYNCHRONIZED) return history.synchronized;
    if (property == SERIES_FIRSTDATE) {
        const auto &rates = loaded(history);
        return rates.empty() ? 0 : rates.front().time;
    }
    datetime first = 0;
    for (const auto &[key, other] : terminal.histories)
        if (key.first == symbol.utf8() && !other.bars.empty() && (first == 0 || other.bars.begin()->first < first))
            first = other.bars.begin()->first;
    return first;
}

int TerminalInfoInteger(ENUM_TERMINAL_INFO_INTEGER property) {
    if (property == TERMINAL_BUILD) return 5120;
    return property == TERMINAL_CONNECTED ? terminal.connected : terminal.max_bars;
}

int Bars(const string &symbol, ENUM_TIMEFRAMES timeframe) { return static_cast<int>(loaded(history_of(symbol, timeframe)).size()); }

// The bar that opened at the time or, unless it must be exact, the last one before.
int iBarShift(const string &symbol, ENUM_TIMEFRAMES timeframe, datetime time, bool exact) {
    const auto &rates = loaded(history_of(symbol, timeframe));
    const auto later = std::upper_bound(rates.begin(), rates.end(), time, [](datetime at, const MqlRates &rate) { return at < rate.time; });
    if (later == rates.begin() || (exact && (later - 1)->time != time)) return -1;
    return static_cast<int>(rates.end() - later);
}

// Counts from the forming bar at 0 into the past, and fills the array from the oldest on.
int CopyRates(const string &symbol, ENUM_TIMEFRAMES timeframe, int start, int count, Array<MqlRates> &rates) {
    if (const auto happens = std::exchange(terminal.before_copy, nullptr)) {
        happens();
        terminal.market_changes++;
    }
    if (terminal.failing_copies > 0) {
        terminal.failing_copies--;
        terminal.last_error = ERR_HISTORY_NOT_FOUND;
        return -1;
    }
    History &history = history_of(symbol, timeframe);
    const auto &all = loaded(history);
    const int size = static_cast<int>(all.size());
    if (terminal.selected.count(symbol.utf8()) == 0 || start < 0 || count <= 0) {
        terminal.last_error = ERR_MARKET_UNKNOWN_SYMBOL;
        return -1;
    }
    if (start + count > size) request_older(history);
    if (start >= size) {
        terminal.last_error = ERR_HISTORY_NOT_FOUND;
        return -1;
    }
    rates.values.assign(all.end() - std::min(start + count, size), all.end() - start);
    return ArraySize(rates);
}

int CopyTime(const string &symbol, ENUM_TIMEFRAMES timeframe, int start, int count, Array<datetime> &times) {
    Array<MqlRates> rates;
    const int copied = CopyRates(symbol, timeframe, start, count, rates);
    times.values.clear();
    for (const MqlRates &rate : rates.values) times.values.push_back(rate.time);
    return copied;
}

// --- Time and output ---

bool EventSetTimer(int seconds) {
    if (!terminal.has_timers) return false;
    terminal.timer = seconds * 1000L;
    terminal.next_timer = terminal.now + terminal.timer;
    return true;
}

void EventKillTimer() { terminal.timer = 0; }
bool IsStopped() { return terminal.stopped; }
ulong GetTickCount64() { return static_cast<ulong>(terminal.now); }
datetime TimeGMT() { return terminal.now / 1000 + terminal.computer_error; }
datetime TimeTradeServer() { return terminal.now / 1000 + terminal.broker_offset; }
void ResetLastError() { terminal.last_error = 0; }
int GetLastError() { return terminal.last_error; }
void Print(const string &text) { say("log", text.utf8()); }

void Comment(const string &text) {
    std::string line = text.utf8();
    while (!line.empty() && line.back() == '\n') line.pop_back();
    for (size_t at = 0; (at = line.find('\n', at)) != std::string::npos; at += 3) line.replace(at, 1, " | ");
    if (line != terminal.comment) say("comment", line);
    terminal.comment = line;
}

// --- WebRequest, by the program curl ---

namespace {

// A temporary file without a name, which is gone with its last descriptor.
struct Scratch {
    Scratch() : file(std::tmpfile()) {
        if (file == nullptr) throw std::runtime_error("there is no room for a temporary file");
    }
    ~Scratch() { std::fclose(file); }
    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;

    int descriptor() const { return fileno(file); }

    void write(const std::string &bytes) {
        std::fwrite(bytes.data(), 1, bytes.size(), file);
        std::rewind(file);
    }

    std::string read() {
        std::string bytes;
        char part[4096];
        std::rewind(file);
        for (size_t count; (count = std::fread(part, 1, sizeof part, file)) > 0;) bytes.append(part, count);
        return bytes;
    }

    std::FILE *file;
};

struct Answer {
    int exit_code;
    int status;
    std::string headers, body;
};

// Runs curl with a body on its standard input. curl writes the answer's body to standard output and the head to descriptor 3.
Answer run_curl(std::vector<std::string> arguments, const std::string &body) {
    Scratch input, output, head;
    input.write(body);
    std::vector<char *> pointers;
    for (auto &argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    // Copies the descriptors first, because one of the files may have a descriptor that would be overwritten.
    const int copies[] = {fcntl(input.descriptor(), F_DUPFD_CLOEXEC, 10), fcntl(output.descriptor(), F_DUPFD_CLOEXEC, 10),
                          fcntl(head.descriptor(), F_DUPFD_CLOEXEC, 10)};
    posix_spawn_file_actions_adddup2(&files, copies[0], 0);
    posix_spawn_file_actions_adddup2(&files, copies[1], 1);
    posix_spawn_file_actions_adddup2(&files, copies[2], 3);
    pid_t curl = 0;
    const int failed = posix_spawnp(&curl, "curl", &files, nullptr, pointers.data(), environ);
    posix_spawn_file_actions_destroy(&files);
    for (const int copy : copies) close(copy);
    if (failed != 0) throw std::runtime_error(std::string("curl does not start: ") + std::strerror(failed));
    int ended = 0;
    waitpid(curl, &ended, 0);

    Answer answer{WIFEXITED(ended) ? WEXITSTATUS(ended) : -1, 0, head.read(), output.read()};
    // If there were redirects, each answer has a head; the last one counts.
    size_t last = 0;
    for (size_t at = 0; (at = answer.headers.find("HTTP/", at)) != std::string::npos; at++)
        if (at == 0 || answer.headers[at - 1] == '\n') last = at;
    answer.headers.erase(0, last);
    std::istringstream first_line(answer.headers);
    std::string version;
    first_line >> version >> answer.status;
    return answer;
}

std::vector<std::string> curl_command(const std::string &method, const std::string &url, const std::string &headers, int timeout) {
    std::vector<std::string> command{"curl", "--silent", "--http1.1", "--location", "--compressed", "--noproxy", "*"};
    const auto add = [&command](const char *option, const std::string &value) { command.insert(command.end(), {option, value}); };
    add("--max-time", std::to_string(timeout / 1000.0));
    add("--dump-header", "/dev/fd/3");
    // The headers that a terminal sends by itself. Its content type of a post is the same as curl's, and the caller's headers replace
    // it.
    add("--user-agent", "MetaTrader 5 Terminal/5.5120 (Windows NT 10.0; x64)");
    add("--header", "Accept: */*");
    add("--header", "Accept-Encoding: gzip, deflate");
    add("--header", "Accept-Language: en;q=0.5");
    add("--header", "Expect:");
    std::istringstream lines(headers);
    for (std::string line; std::getline(lines, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        if (!line.empty()) add("--header", line);
    }
    if (method == "POST") add("--data-binary", "@-");
    else if (method != "GET") add("--request", method);
    if (const char *authority = std::getenv("TERMINAL_CACERT")) add("--cacert", authority);
    command.push_back(url);
    return command;
}

bool is_allowed(const std::string &url) {
    return std::any_of(terminal.allowed.begin(), terminal.allowed.end(), [&url](const std::string &address) {
        return url.compare(0, address.size(), address) == 0 && (url.size() == address.size() || url[address.size()] == '/');
    });
}

int error_of(int exit_code) {
    switch (exit_code) {
        case 0: return 0;
        case 1: case 3: return ERR_WEBREQUEST_INVALID_ADDRESS;
        case 5: case 6: case 7: return ERR_WEBREQUEST_CONNECT_FAILED;
        case 28: return ERR_WEBREQUEST_TIMEOUT;
        default: return ERR_WEBREQUEST_REQUEST_FAILED;
    }
}

// Some terminals report these statuses instead of -1.
int status_for(int error) {
    if (!terminal.errors_as_statuses) return -1;
    if (error == ERR_WEBREQUEST_TIMEOUT) return 1003;
    return error == ERR_WEBREQUEST_CONNECT_FAILED || error == ERR_WEBREQUEST_REQUEST_FAILED ? 1001 : -1;
}

} // namespace

int WebRequest(const string &method, const string &url, const string &headers, int timeout, const Array<char> &data,
               Array<char> &result, string &result_headers) {
    const std::string address = url.utf8();
    result.values.clear();
    result_headers = "";
    if (!is_allowed(address)) {
        terminal.last_error = ERR_FUNCTION_NOT_ALLOWED;
        return -1;
    }
    const std::string body(data.values.begin(), data.values.end());
    const Answer answer = run_curl(curl_command(method.utf8(), address, headers.utf8(), timeout), body);
    terminal.last_error = error_of(answer.exit_code);
    terminal.now += terminal.last_error == ERR_WEBREQUEST_TIMEOUT ? timeout : terminal.request_takes;
    if (terminal.stop_after > 0 && --terminal.stop_after == 0) terminal.stopped = true;
    const int status = terminal.last_error != 0 ? status_for(terminal.last_error) : answer.status;
    say("request", method.utf8() + " " + address + " " + std::to_string(status) + " " + std::to_string(terminal.last_error));
    if (terminal.last_error == 0) {
        result.values.assign(answer.body.begin(), answer.body.end());
        result_headers = answer.headers;
    }
    return status;
}

// --- Commands ---

namespace {

template <typename T>
T next(std::istream &line) {
    T value;
    if (!(line >> value)) throw std::runtime_error("a value is missing or of another kind");
    return value;
}

std::string rest(std::istream &line) {
    std::string text;
    std::getline(line >> std::ws, text);
    return text;
}

History &next_history(std::istream &line) {
    const auto symbol = next<std::string>(line);
    return history_of(symbol, timeframe_named(next<std::string>(line)));
}

void add_bar(std::istream &line) {
    History &history = next_history(line);
    MqlRates rates{};
    rates.time = next<long>(line);
    for (double *price : {&rates.open, &rates.high, &rates.low, &rates.close}) *price = next<double>(line);
    rates.tick_volume = next<long>(line);
    if (!(line >> rates.real_volume)) rates.real_volume = 0;
    history.bars[rates.time] = {rates, true};
}

void set_loaded(std::istream &line, bool is_loaded) {
    History &history = next_history(line);
    const auto from = next<long>(line), to = next<long>(line);
    for (auto &[time, bar] : history.bars) if (time >= from && time <= to) bar.loaded = is_loaded;
}

void initialise() {
    if (runs) throw std::runtime_error("the program runs already");
    terminal.stopped = false;
    terminal.inputs_left.clear();
    for (const auto &[name, value] : terminal.inputs) terminal.inputs_left.insert(name);
    if (!program) program = std::make_unique<Program>();
    for (const auto &[name, read] : terminal.input_readers) read();
    if (!terminal.inputs_left.empty()) throw std::runtime_error("the program has no input " + *terminal.inputs_left.begin());
    const int code = program->OnInit();
    say("init", std::to_string(code));
    runs = code == INIT_SUCCEEDED;
    if (!runs) {
        program->OnDeinit(REASON_INITFAILED);
        program.reset();
    }
}

void deinitialise(int reason) {
    if (!runs) throw std::runtime_error("no program runs");
    terminal.stopped = true;
    runs = false;
    program->OnDeinit(reason);
    // A program stays loaded, with its variables, if the terminal starts it again at once.
    if (reason != REASON_CHARTCHANGE && reason != REASON_PARAMETERS && reason != REASON_ACCOUNT) program.reset();
}

void run_timer() {
    if (!runs || terminal.timer == 0) throw std::runtime_error("no program waits for a timer");
    program->OnTimer();
}

void run_tick() {
    if (!runs) throw std::runtime_error("no program waits for a tick");
    program->OnTick();
}

void advance(long seconds) {
    const long end = terminal.now + seconds * 1000;
    while (runs && terminal.timer != 0 && terminal.next_timer <= end) {
        // Requests take time. A timer that became due in the meantime is called once, late.
        terminal.now = std::max(terminal.now, terminal.next_timer);
        program->OnTimer();
        while (terminal.next_timer <= terminal.now) terminal.next_timer += terminal.timer;
    }
    terminal.now = std::max(terminal.now, end);
}

const std::map<std::string, std::function<void(std::istream &)>> commands{
    {"symbol", [](auto &line) { const auto name = next<std::string>(line); terminal.digits[name] = next<int>(line); }},
    {"digits", [](auto &line) {
        const auto name = next<std::string>(line);
        if (next<std::string>(line) == "known") terminal.unknown.erase(name);
        else terminal.unknown.insert(name);
    }},
    {"mode", [](auto &line) {
        static const std::map<std::string, long> modes{
            {"forex", SYMBOL_CALC_MODE_FOREX}, {"unleveraged", SYMBOL_CALC_MODE_FOREX_NO_LEVERAGE}, {"cfd", SYMBOL_CALC_MODE_CFD}};
        const auto name = next<std::string>(line);
        terminal.modes[name] = modes.at(next<std::string>(line));
    }},
    {"custom", [](auto &line) { terminal.custom.insert(next<std::string>(line)); }},
    {"watch", [](auto &line) { terminal.selected.insert(next<std::string>(line)); }},
    {"chart", [](auto &line) { _Symbol = next<std::string>(line); }},
    {"bar", add_bar},
    {"late-bar", [](auto &line) { terminal.before_copy = [text = rest(line)] { std::istringstream bar(text); add_bar(bar); }; }},
    {"fail-copies", [](auto &line) { terminal.failing_copies = next<int>(line); }},
    {"load", [](auto &line) { set_loaded(line, true); }},
    {"unload", [](auto &line) { set_loaded(line, false); }},
    {"portion", [](auto &line) { History &history = next_history(line); history.portion = next<int>(line); }},
    {"synchronized", [](auto &line) { History &history = next_history(line); history.synchronized = next<std::string>(line) == "yes"; }},
    {"shown", [](auto &line) { History &history = next_history(line); history.shown = next<std::string>(line) == "yes"; }},
    {"maxbars", [](auto &line) { terminal.max_bars = next<int>(line); }},
    {"clock", [](auto &line) { terminal.now = next<long>(line) * 1000; }},
    {"computer", [](auto &line) { terminal.computer_error = next<long>(line); }},
    {"offset", [](auto &line) { terminal.broker_offset = next<int>(line); }},
    {"connected", [](auto &line) { terminal.connected = next<std::string>(line) == "yes"; }},
    {"takes", [](auto &line) { terminal.request_takes = next<long>(line); }},
    {"failures", [](auto &line) { terminal.errors_as_statuses = next<std::string>(line) == "statuses"; }},
    {"allow", [](auto &line) { terminal.allowed.insert(next<std::string>(line)); }},
    {"input", [](auto &line) { const auto name = next<std::string>(line); terminal.inputs[name] = rest(line); }},
    {"init", [](auto &) { initialise(); }},
    {"timers", [](auto &line) { terminal.has_timers = next<std::string>(line) == "yes"; }},
    {"tick", [](auto &) { run_tick(); }},
    {"timer", [](auto &) { run_timer(); }},
    {"advance", [](auto &line) { advance(next<long>(line)); }},
    {"stop", [](auto &line) { terminal.stop_after = next<int>(line); }},
    {"deinit", [](auto &line) { deinitialise(next<int>(line)); }},
};

} // namespace

int main() {
    for (std::string text; std::getline(std::cin, text);) {
        std::istringstream line(text);
        std::string name;
        if (!(line >> name)) continue;
        try {
            const auto command = commands.find(name);
            if (command == commands.end()) throw std::runtime_error("there is no command " + name);
            terminal.market_changes++;
            command->second(line);
            std::cout << "ok" << std::endl;
        } catch (const std::exception &error) {
            std::cout << "error " << error.what() << std::endl;
        }
    }
}
