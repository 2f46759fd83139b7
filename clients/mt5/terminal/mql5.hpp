// The part of the MQL5 language and its library that CandlewickFeed.mq5 uses, as documented and as observed in terminals.
// Functions that depend on a terminal (candles, requests, timers, the clock) are declared here and defined in terminal.cpp.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

using uchar = unsigned char;
using ushort = unsigned short;
using uint = unsigned int;
using ulong = unsigned long;
using datetime = long;

// An error that ends an MQL5 program: an array index out of range, a bad format.
struct CriticalError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// --- Strings are UTF-16 ---

class string {
public:
    string() = default;
    string(const char *utf8) : string(std::string(utf8)) {}
    string(const std::string &utf8);
    explicit string(std::u16string utf16) : units(std::move(utf16)) {}

    std::string utf8() const;

    string &operator+=(const string &other) { units += other.units; return *this; }
    friend string operator+(string left, const string &right) { return left += right; }
    friend bool operator==(const string &left, const string &right) { return left.units == right.units; }
    friend bool operator!=(const string &left, const string &right) { return left.units != right.units; }

    std::u16string units;
};

inline string::string(const std::string &utf8) {
    for (size_t i = 0; i < utf8.size();) {
        const auto first = static_cast<uchar>(utf8[i]);
        const size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
        char32_t point = length == 1 ? first : first & (0xFFu >> (length + 1));
        for (size_t j = 1; j < length && i + j < utf8.size(); j++) point = point << 6 | (static_cast<uchar>(utf8[i + j]) & 0x3Fu);
        if (point >= 0x10000) {
            units += static_cast<char16_t>(0xD800 + ((point - 0x10000) >> 10));
            point = 0xDC00 + ((point - 0x10000) & 0x3FF);
        }
        units += static_cast<char16_t>(point);
        i += length;
    }
}

inline std::string string::utf8() const {
    std::string bytes;
    for (size_t i = 0; i < units.size(); i++) {
        char32_t point = units[i];
        if (point >= 0xD800 && point < 0xDC00 && i + 1 < units.size())
            point = 0x10000 + ((point - 0xD800) << 10) + (units[++i] - 0xDC00u);
        const auto add = [&bytes](char32_t byte) { bytes += static_cast<char>(byte); };
        if (point < 0x80) {
            add(point);
        } else if (point < 0x800) {
            add(0xC0 | point >> 6), add(0x80 | (point & 0x3F));
        } else if (point < 0x10000) {
            add(0xE0 | point >> 12), add(0x80 | (point >> 6 & 0x3F)), add(0x80 | (point & 0x3F));
        } else {
            add(0xF0 | point >> 18), add(0x80 | (point >> 12 & 0x3F)), add(0x80 | (point >> 6 & 0x3F)), add(0x80 | (point & 0x3F));
        }
    }
    return bytes;
}

// --- Arrays ---

template <typename T>
class Array {
public:
    Array() = default;
    Array(std::initializer_list<T> list) : values(list) {}

    // MQL5 counts with int and ends the program at an index that does not exist.
    T &operator[](int index) { return values[checked(index)]; }
    const T &operator[](int index) const { return values[checked(index)]; }

    std::vector<T> values;

private:
    size_t checked(int index) const {
        if (index < 0 || static_cast<size_t>(index) >= values.size()) throw CriticalError("array out of range");
        return static_cast<size_t>(index);
    }
};

template <typename T>
int ArraySize(const Array<T> &array) { return static_cast<int>(array.values.size()); }

template <typename T>
int ArrayResize(Array<T> &array, int size) {
    if (size < 0) return -1;
    array.values.resize(static_cast<size_t>(size));
    return size;
}

template <typename T>
void ZeroMemory(T &value) { std::memset(&value, 0, sizeof value); }

// --- Text ---

constexpr int WHOLE_ARRAY = -1;
constexpr uint CP_UTF8 = 65001;

inline int StringLen(const string &text) { return static_cast<int>(text.units.size()); }

inline ushort StringGetCharacter(const string &text, int position) {
    return position < 0 || position >= StringLen(text) ? ushort(0) : ushort(text.units[static_cast<size_t>(position)]);
}

inline int StringFind(const string &text, const string &match, int start = 0) {
    const auto found = start > StringLen(text) ? std::u16string::npos : text.units.find(match.units, static_cast<size_t>(start));
    return found == std::u16string::npos ? -1 : static_cast<int>(found);
}

inline string StringSubstr(const string &text, int start, int length = -1) {
    if (length == 0) throw CriticalError("StringSubstr with a length of 0 is not the same in all builds");
    if (start < 0 || start >= StringLen(text)) return "";
    return string(text.units.substr(static_cast<size_t>(start), length < 0 ? std::u16string::npos : static_cast<size_t>(length)));
}

inline int StringReplace(string &text, const string &find, const string &replacement) {
    int count = 0;
    for (size_t at = 0; (at = text.units.find(find.units, at)) != std::u16string::npos; at += replacement.units.size(), count++)
        text.units.replace(at, find.units.size(), replacement.units);
    return count;
}

inline int StringSplit(const string &text, ushort separator, Array<string> &parts) {
    parts.values.clear();
    if (text.units.empty()) return 0;
    size_t start = 0;
    for (size_t end; (end = text.units.find(static_cast<char16_t>(separator), start)) != std::u16string::npos; start = end + 1)
        parts.values.emplace_back(text.units.substr(start, end - start));
    parts.values.emplace_back(text.units.substr(start));
    return ArraySize(parts);
}

inline bool is_blank(char16_t unit) { return unit == ' ' || unit == '\t' || unit == '\r' || unit == '\n'; }

inline int StringTrimLeft(string &text) {
    const auto kept = std::find_if_not(text.units.begin(), text.units.end(), is_blank);
    const auto cut = static_cast<int>(kept - text.units.begin());
    text.units.erase(text.units.begin(), kept);
    return cut;
}

inline int StringTrimRight(string &text) {
    int cut = 0;
    for (; !text.units.empty() && is_blank(text.units.back()); cut++) text.units.pop_back();
    return cut;
}

inline bool StringToLower(string &text) {
    for (auto &unit : text.units) if (unit >= 'A' && unit <= 'Z') unit = static_cast<char16_t>(unit + 32);
    return true;
}

inline bool StringToUpper(string &text) {
    for (auto &unit : text.units) if (unit >= 'a' && unit <= 'z') unit = static_cast<char16_t>(unit - 32);
    return true;
}

inline string ShortToString(ushort unit) { return string(std::u16string(1, static_cast<char16_t>(unit))); }
inline string CharToString(uchar character) { return ShortToString(character); }
inline string IntegerToString(long number) { return std::to_string(number); }
inline long StringToInteger(const string &text) { return std::strtol(text.utf8().c_str(), nullptr, 10); }

inline string DoubleToString(double value, int digits) {
    char text[400];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return text;
}

// Unless a count is given, the terminating 0 is copied, too.
template <typename Byte>
int StringToCharArray(const string &text, Array<Byte> &bytes, int start, int count, uint codepage) {
    if (codepage != CP_UTF8 || count != WHOLE_ARRAY || start != 0) throw CriticalError("StringToCharArray is known in one form only");
    const std::string utf8 = text.utf8();
    bytes.values.assign(utf8.begin(), utf8.end());
    bytes.values.push_back(0);
    return ArraySize(bytes);
}

template <typename Byte>
string CharArrayToString(const Array<Byte> &bytes, int start, int count, uint codepage) {
    if (codepage != CP_UTF8 || count != WHOLE_ARRAY || start != 0) throw CriticalError("CharArrayToString is known in one form only");
    const auto end = std::find(bytes.values.begin(), bytes.values.end(), Byte(0));
    return std::string(bytes.values.begin(), end);
}

// MQL5 prints a wrong value if an argument has another size than its format says; here that is an error.
class FormatArgument {
public:
    FormatArgument(const string &text) : value(text.utf8()) {}
    FormatArgument(const char *text) : value(std::string(text)) {}
    template <typename T, typename = std::enable_if_t<std::is_integral_v<T>>>
    FormatArgument(T number) : value(static_cast<long>(number)), is_long(sizeof(T) > sizeof(int)) {}

    std::string formatted(const std::string &format) const {
        const char kind = format.back();
        const bool wants_text = kind == 's', wants_long = format.find("I64") != std::string::npos;
        if (wants_text != std::holds_alternative<std::string>(value) || wants_long != is_long)
            throw CriticalError("StringFormat: " + format + " does not fit its argument");
        char text[64];
        if (wants_text) return std::get<std::string>(value);
        std::snprintf(text, sizeof text, (format.substr(0, format.find_first_of("IdX")) + "l" + kind).c_str(), std::get<long>(value));
        return text;
    }

private:
    std::variant<std::string, long> value;
    bool is_long = false;
};

template <typename... Arguments>
string StringFormat(const string &format, const Arguments &...arguments) {
    const std::vector<FormatArgument> given{FormatArgument(arguments)...};
    const std::string pattern = format.utf8();
    std::string text;
    size_t used = 0;
    for (size_t i = 0; i < pattern.size(); i++) {
        if (pattern[i] != '%') {
            text += pattern[i];
        } else if (pattern.compare(i, 2, "%%") == 0) {
            text += pattern[i++];
        } else {
            const size_t end = pattern.find_first_of("sdX", i);
            if (end == std::string::npos || used == given.size()) throw CriticalError("StringFormat: " + pattern);
            text += given[used++].formatted(pattern.substr(i, end - i + 1));
            i = end;
        }
    }
    if (used != given.size()) throw CriticalError("StringFormat has arguments left: " + pattern);
    return text;
}

// --- Numbers ---

template <typename A, typename B>
std::common_type_t<A, B> MathMin(A a, B b) { return b < a ? b : a; }
template <typename A, typename B>
std::common_type_t<A, B> MathMax(A a, B b) { return a < b ? b : a; }
inline double MathRound(double value) { return std::round(value); }

// --- Time ---

struct MqlDateTime {
    int year, mon, day, hour, min, sec, day_of_week, day_of_year;
};

inline bool TimeToStruct(datetime time, MqlDateTime &date) {
    std::tm parts{};
    gmtime_r(&time, &parts);
    date = {parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, parts.tm_wday, parts.tm_yday};
    return true;
}

inline datetime StructToTime(const MqlDateTime &date) {
    std::tm parts{};
    parts.tm_year = date.year - 1900, parts.tm_mon = date.mon - 1, parts.tm_mday = date.day;
    parts.tm_hour = date.hour, parts.tm_min = date.min, parts.tm_sec = date.sec;
    return timegm(&parts);
}

enum { TIME_DATE = 1, TIME_MINUTES = 2 };
enum ENUM_APPLIED_VOLUME { VOLUME_TICK, VOLUME_REAL };

inline string TimeToString(datetime time, int mode) {
    if (mode != (TIME_DATE | TIME_MINUTES)) throw CriticalError("TimeToString is known in one form only");
    MqlDateTime date;
    TimeToStruct(time, date);
    return StringFormat("%04d.%02d.%02d %02d:%02d", date.year, date.mon, date.day, date.hour, date.min);
}

// --- Candles ---

enum ENUM_TIMEFRAMES {
    PERIOD_CURRENT = 0,
    PERIOD_M1 = 1, PERIOD_M2 = 2, PERIOD_M3 = 3, PERIOD_M4 = 4, PERIOD_M5 = 5, PERIOD_M6 = 6, PERIOD_M10 = 10, PERIOD_M12 = 12,
    PERIOD_M15 = 15, PERIOD_M20 = 20, PERIOD_M30 = 30,
    PERIOD_H1 = 16385, PERIOD_H2 = 16386, PERIOD_H3 = 16387, PERIOD_H4 = 16388, PERIOD_H6 = 16390, PERIOD_H8 = 16392, PERIOD_H12 = 16396,
    PERIOD_D1 = 16408, PERIOD_W1 = 32769, PERIOD_MN1 = 49153
};

inline string EnumToString(ENUM_TIMEFRAMES timeframe) {
    const int number = timeframe & 0x3FFF;
    if (timeframe == PERIOD_CURRENT) return "PERIOD_CURRENT";
    if (timeframe == PERIOD_D1) return "PERIOD_D1";
    return StringFormat("PERIOD_%s%d", timeframe >= PERIOD_MN1 ? "MN" : timeframe >= PERIOD_W1 ? "W" : timeframe >= PERIOD_H1 ? "H" : "M", number);
}

struct MqlRates {
    datetime time;
    double open, high, low, close;
    long tick_volume;
    int spread;
    long real_volume;
};

enum ENUM_SERIES_INFO_INTEGER { SERIES_FIRSTDATE, SERIES_SERVER_FIRSTDATE, SERIES_SYNCHRONIZED };
enum ENUM_SYMBOL_INFO_INTEGER { SYMBOL_DIGITS, SYMBOL_TRADE_CALC_MODE, SYMBOL_CUSTOM };
enum ENUM_SYMBOL_CALC_MODE { SYMBOL_CALC_MODE_FOREX = 0, SYMBOL_CALC_MODE_CFD = 2, SYMBOL_CALC_MODE_FOREX_NO_LEVERAGE = 5 };
enum ENUM_TERMINAL_INFO_INTEGER { TERMINAL_BUILD, TERMINAL_CONNECTED, TERMINAL_MAXBARS };

bool SymbolSelect(const string &symbol, bool select);
int SymbolsTotal(bool selected);
string SymbolName(int position, bool selected);
bool SymbolInfoInteger(const string &symbol, ENUM_SYMBOL_INFO_INTEGER property, long &value);
long SeriesInfoInteger(const string &symbol, ENUM_TIMEFRAMES timeframe, ENUM_SERIES_INFO_INTEGER property);
int TerminalInfoInteger(ENUM_TERMINAL_INFO_INTEGER property);
int Bars(const string &symbol, ENUM_TIMEFRAMES timeframe);
int iBarShift(const string &symbol, ENUM_TIMEFRAMES timeframe, datetime time, bool exact);
int CopyTime(const string &symbol, ENUM_TIMEFRAMES timeframe, int start, int count, Array<datetime> &times);
int CopyRates(const string &symbol, ENUM_TIMEFRAMES timeframe, int start, int count, Array<MqlRates> &rates);

// --- The program's life ---

enum { INIT_SUCCEEDED = 0, INIT_FAILED = 1, INIT_PARAMETERS_INCORRECT = 32767 };
enum { REASON_CHARTCHANGE = 3, REASON_PARAMETERS = 5, REASON_ACCOUNT = 6, REASON_INITFAILED = 8 };
enum {
    ERR_FUNCTION_NOT_ALLOWED = 4014,
    ERR_MARKET_UNKNOWN_SYMBOL = 4301,
    ERR_HISTORY_NOT_FOUND = 4401,
    ERR_WEBREQUEST_INVALID_ADDRESS = 5200,
    ERR_WEBREQUEST_CONNECT_FAILED = 5201,
    ERR_WEBREQUEST_TIMEOUT = 5202,
    ERR_WEBREQUEST_REQUEST_FAILED = 5203
};

extern string _Symbol;

bool EventSetTimer(int seconds);
void EventKillTimer();
bool IsStopped();
ulong GetTickCount64();
datetime TimeGMT();
datetime TimeTradeServer();
void ResetLastError();
int GetLastError();
void Print(const string &text);
void Comment(const string &text);
int WebRequest(const string &method, const string &url, const string &headers, int timeout, const Array<char> &data,
               Array<char> &result, string &result_headers);
